//! A change is answered when it holds: whoever changed something may count on it from the answer on. Must not know what was changed.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Admin;

/// A machine that is busier than this tells of the change before it holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Holds the answer to what may have changed something until the gateway works by it.
pub(super) async fn before_answering(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    let response = next.run(request).await;
    if changes {
        let services = &admin.services;
        let _ = tokio::time::timeout(PATIENCE, services.in_force.reached(|| services.store.entities())).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::model::Entities;
    use crate::snapshot::InForce;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_waited_for_until_it_holds_and_only_where_somebody_makes_it_hold() {
        let [old, new] = [(); 2].map(|()| Arc::new(Entities::default()));
        let in_force = InForce::default();
        let waited = async |newest: &Arc<Entities>| {
            let reached = in_force.reached(|| Arc::clone(newest));
            tokio::time::timeout(Duration::from_secs(1), reached).await.is_ok()
        };
        assert!(waited(&new).await, "nobody serves requests");
        in_force.set(&old);
        assert!(!waited(&new).await);
        let (reached, ()) = tokio::join!(waited(&new), async { in_force.set(&new) });
        assert!(reached);
    }
}
