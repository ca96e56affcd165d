//! `myelin admin`: tokens for the console and the admin API.

use clap::Subcommand;
use serde_json::json;

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, text, time};

/// Admin tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Make a token; it is shown once.
    Token {
        /// A name for it.
        #[arg(default_value_t = default_name())]
        name: String,
    },
    /// All tokens.
    Tokens,
    /// The description of the admin API (OpenAPI), as the gateway serves it.
    Openapi,
    /// Remove a token, and end what it opened.
    Revoke {
        /// Name or id.
        token: String,
    },
}

/// Names differ from second to second, so that a second token needs no thought.
fn default_name() -> String {
    format!("token-{}", jiff::Timestamp::now().as_second())
}

/// Does it.
pub(crate) fn run(place: &Place, admin: Admin) -> anyhow::Result<()> {
    if matches!(admin, Admin::Openapi) {
        return output::line(myelin_core::server::admin::openapi().trim_end());
    }
    let carrier = Carrier::open(place)?;
    let answer = match admin {
        Admin::Openapi => serde_json::Value::Null,
        Admin::Token { name } => {
            let answer = carrier.post("/api/v1/admin-tokens", &json!({"name": name}))?;
            if !place.json {
                return output::line(&format!(
                    "{}   ({}; shown once)",
                    text(&answer, "/token"),
                    text(&answer, "/name")
                ));
            }
            answer
        }
        Admin::Tokens => {
            let answer = carrier.get("/api/v1/admin-tokens")?;
            if !place.json {
                let row = |token: &serde_json::Value| {
                    let created = token.pointer("/created").and_then(serde_json::Value::as_u64).unwrap_or_default();
                    vec![text(token, "/name"), text(token, "/hint"), time(created)]
                };
                let rows: Vec<_> = list(&answer, "/tokens").iter().map(row).collect();
                return output::table(&["name", "token", "made"], &rows);
            }
            answer
        }
        Admin::Revoke { token } => {
            let answer = carrier.delete(&format!("/api/v1/admin-tokens/{}", segment(&token)))?;
            if !place.json {
                return output::line(&format!("{token} is removed"));
            }
            answer
        }
    };
    output::json(&answer)
}
