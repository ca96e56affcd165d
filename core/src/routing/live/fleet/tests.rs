//! What a fleet must learn, and keep.

use super::*;

fn fail(fleet: &Fleet, credential: &CredentialLive, failure: Failure, now_ms: u64) -> Vec<Trouble> {
    fleet.begin("main", "m", Errand::Conversation, now_ms);
    let how = How::Failed { failure, wait: None, words: "no", rule: None };
    let ended = Ended {
        channel: "main",
        upstream: "m",
        errand: Errand::Conversation,
        credential: Some(credential),
        how,
        now_ms,
        jitter: 0,
    };
    fleet.ended(&ended, &BreakerSettings::default())
}

#[test]
fn a_bad_key_benches_one_key_and_a_limit_one_model_of_it() {
    let fleet = Fleet::default();
    let (bad, good) = (fleet.credential("main", 1, 0), fleet.credential("main", 2, 1));
    let trouble = fail(&fleet, &bad, Failure::BadKey, 0);
    assert_eq!((trouble[0].credential, trouble[0].upstream.as_deref()), (Some(0), None));
    assert!(matches!(bad.breaker.standing(1), Standing::Benched(_)));
    assert_eq!(good.breaker.standing(1), Standing::Ready);
    fail(&fleet, &good, Failure::RateLimited, 0);
    let deployment = fleet.deployment("main", "m", Errand::Conversation);
    assert_eq!(deployment.breaker.standing(1), Standing::Ready);
    assert_eq!(good.breaker.standing(1), Standing::Ready);
    assert!(matches!(deployment.lane(2, 1), Standing::Benched(_)));
    assert_eq!(deployment.lane(1, 1), Standing::Ready);
    assert_eq!(fleet.deployment("main", "other", Errand::Conversation).lane(2, 1), Standing::Ready);
    assert_eq!(deployment.load.in_flight(), 0);
}

#[test]
fn state_survives_a_restart_and_a_new_secret_begins_anew() {
    let fleet = Fleet::default();
    let key = fleet.credential("main", 7, 0);
    fail(&fleet, &key, Failure::BadKey, 1_000);
    fail(&fleet, &key, Failure::RateLimited, 1_000);
    fail(&fleet, &key, Failure::UnknownModel, 1_000);
    let text = serde_json::to_string(&fleet.save()).unwrap();
    let next = Fleet::default();
    next.restore(&serde_json::from_str(&text).unwrap());
    assert_eq!(next.troubles("main", 2_000).len(), 3);
    assert!(matches!(next.credential("main", 7, 0).breaker.standing(2_000), Standing::Benched(_)));
    assert_eq!(next.credential("main", 8, 0).breaker.standing(2_000), Standing::Ready);
    assert_eq!(next.reset(Some("main"), None), 3);
    assert!(next.troubles("main", 2_000).is_empty() && next.save().rows.is_empty());
}

#[test]
fn a_rule_takes_out_the_key_or_the_whole_channel() {
    let fleet = Fleet::default();
    let key = fleet.credential("main", 7, 0);
    for (whole_channel, credential) in [(false, Some(0)), (true, None)] {
        let rule = Some(Rule { whole_channel, until: crate::routing::FOR_GOOD });
        let how = How::Failed { failure: Failure::BadKey, wait: None, words: "account suspended", rule };
        let ended = Ended {
            channel: "main",
            upstream: "m",
            errand: Errand::Conversation,
            credential: Some(&key),
            how,
            now_ms: 0,
            jitter: 0,
        };
        let trouble = fleet.ended(&ended, &BreakerSettings::default());
        assert_eq!(trouble[0].credential, credential);
        assert_eq!(trouble[0].view.as_ref().unwrap().why, Failure::Rule);
    }
    assert_eq!(fleet.channel("main").breaker.standing(u64::MAX - 1), Standing::Benched(u64::MAX));
}

#[test]
fn an_answer_closes_what_was_half_open() {
    let fleet = Fleet::default();
    let key = fleet.credential("main", 7, 0);
    for _ in 0..3 {
        fail(&fleet, &key, Failure::Failed, 0);
    }
    let deployment = fleet.deployment("main", "m", Errand::Conversation);
    assert_eq!(deployment.breaker.standing(10_000), Standing::HalfOpen);
    let how = How::Answered { first_token: Some(100.0), whole: 300.0 };
    let ended = Ended {
        channel: "main",
        upstream: "m",
        errand: Errand::Conversation,
        credential: Some(&key),
        how,
        now_ms: 10_000,
        jitter: 0,
    };
    let trouble = fleet.ended(&ended, &BreakerSettings::default());
    assert_eq!((trouble.len(), trouble[0].opened), (1, false));
    assert_eq!(deployment.breaker.standing(10_000), Standing::Ready);
}

#[test]
fn each_errand_fares_by_itself_also_after_a_restart() {
    let fleet = Fleet::default();
    let key = fleet.credential("main", 7, 0);
    let end = |errand, how| {
        fleet.begin("main", "m", errand, 0);
        let ended = Ended { channel: "main", upstream: "m", errand, credential: Some(&key), how, now_ms: 0, jitter: 0 };
        fleet.ended(&ended, &BreakerSettings::default())
    };
    let failed = |failure| How::Failed { failure, wait: None, words: "no", rule: None };
    let told = end(Errand::Counting, failed(Failure::UnknownModel));
    assert!(told[0].errand == Errand::Counting && !told[0].matters());
    assert!(end(Errand::Embeddings, failed(Failure::RateLimited))[0].matters());
    assert!(!end(Errand::Stored, failed(Failure::UnknownModel))[0].matters());
    let next = Fleet::default();
    next.restore(&serde_json::from_str(&serde_json::to_string(&fleet.save()).unwrap()).unwrap());
    for fleet in [&fleet, &next] {
        let out = |errand| {
            let own = fleet.deployment("main", "m", errand);
            matches!(own.breaker.standing(1).and(own.lane(7, 1)), Standing::Benched(_))
        };
        let all = [Errand::Conversation, Errand::Counting, Errand::Embeddings, Errand::Stored, Errand::Images];
        assert_eq!(all.map(out), [false, true, true, false, false]);
        assert_eq!(fleet.troubles("main", 1).len(), 2);
    }
}

#[test]
fn what_costs_nothing_shows_nothing_about_money() {
    for (errand, back) in [(Errand::Counting, false), (Errand::Embeddings, true), (Errand::Conversation, true)] {
        let fleet = Fleet::default();
        let key = fleet.credential("main", 7, 0);
        for (failure, over) in [(Failure::NoCredit, back), (Failure::BadKey, true)] {
            fleet.reset(None, None);
            fail(&fleet, &key, failure, 0);
            let how = How::Answered { first_token: None, whole: 1.0 };
            let now_ms = 4_000_000;
            let ended =
                Ended { channel: "main", upstream: "m", errand, credential: Some(&key), how, now_ms, jitter: 0 };
            assert_eq!(!fleet.ended(&ended, &BreakerSettings::default()).is_empty(), over, "{errand:?} {failure:?}");
        }
    }
}
