//! Gathering what is wrong over many cases, so that one run tells all of it.

/// Returns an error from the enclosing function unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(format!($($words)*));
        }
    };
}

/// Returns an error from the enclosing function unless both are equal.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($words:tt)*) => {
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    let (left, right) = $crate::support::findings::difference(&format!("{left:?}"), &format!("{right:?}"));
                    return Err(format!("{}\n      expected: {left}\n           got: {right}", format!($($words)*)));
                }
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq};

/// Both texts from a little before where they part.
pub fn difference(left: &str, right: &str) -> (String, String) {
    let same = left.chars().zip(right.chars()).take_while(|(left, right)| left == right).count();
    let from = |text: &str| text.chars().skip(same.saturating_sub(60)).take(420).collect();
    (from(left), from(right))
}

/// What went wrong so far.
#[derive(Debug, Default)]
pub struct Findings {
    tried: usize,
    wrong: Vec<String>,
}

impl Findings {
    pub fn take(&mut self, outcome: Result<(), String>) {
        self.tried += 1;
        self.wrong.extend(outcome.err());
    }

    /// Takes over what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.wrong.extend(other.wrong);
    }

    /// Fails the test if anything was found.
    pub fn report(self) {
        let shown = self.wrong.iter().take(40).map(|wrong| format!("  - {wrong}")).collect::<Vec<_>>().join("\n");
        assert!(self.wrong.is_empty(), "{} of {} cases:\n{shown}", self.wrong.len(), self.tried);
    }
}
