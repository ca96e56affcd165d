//! What providers charge: rates by class of token or unit, by length of the prompt and by service tier.
//!
//! People read and write dollars (a million tokens, or one of anything else); inside there are only integers: picodollars a token or unit.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::amount::{amount, dollars};

/// What is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceClass {
    /// Tokens read that were in no cache.
    Input,
    /// Tokens read from the provider's prompt cache.
    CacheRead,
    /// Tokens written to the prompt cache, five minutes.
    CacheWrite,
    /// Tokens written to the prompt cache, one hour.
    CacheWrite1h,
    /// Tokens written.
    Output,
    /// Tokens written while thinking, where they have a rate of their own.
    Reasoning,
    /// Audio tokens read.
    AudioInput,
    /// Audio tokens read from the cache.
    AudioCacheRead,
    /// Audio tokens written.
    AudioOutput,
    /// Image tokens read.
    ImageInput,
    /// Image tokens read from the cache.
    ImageCacheRead,
    /// Image tokens written.
    ImageOutput,
    /// Server-side web searches.
    WebSearch,
    /// Images read.
    ImageRead,
    /// Images made.
    ImageMade,
    /// Seconds of audio or video read.
    SecondRead,
    /// Seconds of audio or video made.
    SecondMade,
    /// Characters read.
    CharacterRead,
    /// Characters written.
    CharacterMade,
    /// Requests, or searches of a reranker.
    Request,
    /// Pages read.
    Page,
}

/// A class, its name for people, its code in tables, and of how many its price is told.
type ClassRow = (PriceClass, &'static str, &'static str, u64);

const MILLION: u64 = 1_000_000;

const CLASSES: [ClassRow; 21] = [
    (PriceClass::Input, "input", "i", MILLION),
    (PriceClass::CacheRead, "cache_read", "r", MILLION),
    (PriceClass::CacheWrite, "cache_write", "w", MILLION),
    (PriceClass::CacheWrite1h, "cache_write_1h", "h", MILLION),
    (PriceClass::Output, "output", "o", MILLION),
    (PriceClass::Reasoning, "reasoning", "t", MILLION),
    (PriceClass::AudioInput, "audio_input", "ai", MILLION),
    (PriceClass::AudioCacheRead, "audio_cache_read", "ar", MILLION),
    (PriceClass::AudioOutput, "audio_output", "ao", MILLION),
    (PriceClass::ImageInput, "image_input", "mi", MILLION),
    (PriceClass::ImageCacheRead, "image_cache_read", "mr", MILLION),
    (PriceClass::ImageOutput, "image_output", "mo", MILLION),
    (PriceClass::WebSearch, "web_search", "ws", 1),
    (PriceClass::ImageRead, "image_read", "ui", 1),
    (PriceClass::ImageMade, "image_made", "uo", 1),
    (PriceClass::SecondRead, "second_read", "si", 1),
    (PriceClass::SecondMade, "second_made", "so", 1),
    (PriceClass::CharacterRead, "character_read", "ci", MILLION),
    (PriceClass::CharacterMade, "character_made", "co", MILLION),
    (PriceClass::Request, "request", "q", 1),
    (PriceClass::Page, "page", "p", 1),
];

impl PriceClass {
    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        CLASSES.iter().map(|row| row.0)
    }

    fn row(self) -> &'static ClassRow {
        CLASSES.iter().find(|row| row.0 == self).unwrap_or(&CLASSES[0])
    }

    /// Its name in configuration and API.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its code in price tables.
    pub fn code(self) -> &'static str {
        self.row().2
    }

    /// Of how many its price is told: a million tokens or characters, one of anything else.
    pub fn per(self) -> u64 {
        self.row().3
    }

    /// The class of that name.
    pub fn named(name: &str) -> Option<Self> {
        CLASSES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The class of that code.
    pub fn coded(code: &str) -> Option<Self> {
        CLASSES.iter().find(|row| row.2 == code).map(|row| row.0)
    }
}

/// The service that answered, where it changes the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Service {
    /// As listed.
    #[default]
    Standard,
    /// Faster, for more.
    Priority,
    /// Slower, for less.
    Flex,
    /// Within a day, for half.
    Batch,
    /// Fastest.
    Ultrafast,
    /// Between flex and standard.
    Balanced,
    /// At the hours when the provider charges less.
    OffPeak,
}

const SERVICES: [(Service, &str); 6] = [
    (Service::Priority, "priority"),
    (Service::Flex, "flex"),
    (Service::Batch, "batch"),
    (Service::Ultrafast, "ultrafast"),
    (Service::Balanced, "balanced"),
    (Service::OffPeak, "off_peak"),
];

impl Service {
    /// Its name; empty for [`Service::Standard`].
    pub fn name(self) -> &'static str {
        SERVICES.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The service of that name.
    pub fn named(name: &str) -> Option<Self> {
        SERVICES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The service that a provider says has answered (`service_tier`). Words that change no price are [`Service::Standard`].
    pub fn told(word: Option<&str>) -> Self {
        let Some(word) = word else { return Self::Standard };
        let word = word.to_ascii_lowercase();
        if word == "batches" { Self::Batch } else { Self::named(&word).unwrap_or_default() }
    }
}

/// One rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// For what.
    pub class: PriceClass,
    /// For requests whose prompt has more tokens than this; such a rate holds for the whole request.
    pub above: u64,
    /// For this service only.
    pub service: Service,
    /// Picodollars a token or unit.
    pub pico: u64,
}

/// Hours at which [`Service::OffPeak`] rates hold, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffPeak {
    /// Days as bits, Monday the lowest.
    pub days: u8,
    /// First minute of the day.
    pub from: u16,
    /// The minute of the day at which it ends, at most 1440.
    pub to: u16,
}

impl OffPeak {
    /// Whether a time (milliseconds since 1970) lies in it.
    pub fn holds(&self, unix_ms: u64) -> bool {
        let minutes = unix_ms / 60_000;
        let minute = minutes % 1_440;
        // The first of January 1970 was a Thursday.
        let day = (minutes / 1_440 + 3) % 7;
        self.days >> day & 1 == 1 && (u64::from(self.from)..u64::from(self.to)).contains(&minute)
    }
}

/// What one model costs. Rates are in order and no two are for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Price {
    rates: Vec<Rate>,
    off_peak: Vec<OffPeak>,
}

impl Price {
    /// A price of some rates; of several for the same thing the first counts.
    pub fn new(mut rates: Vec<Rate>, off_peak: Vec<OffPeak>) -> Self {
        rates.sort_by_key(|rate| (rate.class, rate.above, rate.service));
        rates.dedup_by_key(|rate| (rate.class, rate.above, rate.service));
        Self { rates, off_peak }
    }

    /// The rates, in order.
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// When the off-peak rates hold.
    pub fn off_peak(&self) -> &[OffPeak] {
        &self.off_peak
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// Everything that it tells is zero.
    pub fn is_free(&self) -> bool {
        !self.rates.is_empty() && self.rates.iter().all(|rate| rate.pico == 0)
    }

    /// The rate of a class for a prompt of so many tokens: the longest prompt tier that is passed, in it the service's own, else the standard one.
    pub fn rate(&self, class: PriceClass, prompt: u64, service: Service) -> Option<u64> {
        let mut best: Option<&Rate> = None;
        let fits = |rate: &&Rate| {
            rate.class == class
                && (rate.above == 0 || prompt > rate.above)
                && (rate.service == service || rate.service == Service::Standard)
        };
        for rate in self.rates.iter().filter(fits) {
            let rank = |rate: &Rate| (rate.above, rate.service == service);
            if best.is_none_or(|best| rank(rate) >= rank(best)) {
                best = Some(rate);
            }
        }
        best.map(|rate| rate.pico)
    }

    /// The service whose rates hold: the one that answered, or off-peak by the time.
    pub fn service(&self, told: Option<&str>, unix_ms: u64) -> Service {
        match Service::told(told) {
            Service::Standard if self.off_peak.iter().any(|hours| hours.holds(unix_ms)) => Service::OffPeak,
            service => service,
        }
    }

    /// Reads what people write: `{ input = 1.25, output = 10, above_200k = { input = 2.5 }, priority = { input = 2.5 } }`, in dollars.
    ///
    /// # Errors
    /// In words, if something is no class, no tier or no amount.
    pub fn read(table: &Map<String, Value>) -> Result<Self, String> {
        let mut rates = Vec::new();
        read_into(table, 0, Service::Standard, &mut rates)?;
        if rates.is_empty() {
            return Err("is empty: write { input = 1.25, output = 10 }, in dollars a million tokens".to_owned());
        }
        Ok(Self::new(rates, Vec::new()))
    }

    /// As people write it.
    pub fn table(&self) -> Map<String, Value> {
        let mut out = Map::new();
        for rate in &self.rates {
            let service = Some(rate.service.name().to_owned()).filter(|name| !name.is_empty());
            let tier = (rate.above > 0).then(|| tier_name(rate.above));
            let path: Vec<String> = service.into_iter().chain(tier).collect();
            put(&mut out, &path, rate.class.name(), dollars(rate.pico, rate.class.per()));
        }
        out
    }
}

/// Puts a number where a path of tables leads.
fn put(table: &mut Map<String, Value>, path: &[String], name: &str, number: Number) {
    let Some((first, rest)) = path.split_first() else {
        table.insert(name.to_owned(), Value::Number(number));
        return;
    };
    if let Value::Object(inner) = table.entry(first.clone()).or_insert_with(|| Value::Object(Map::new())) {
        put(inner, rest, name, number);
    }
}

fn tier_name(above: u64) -> String {
    if above.is_multiple_of(1_000) { format!("above_{}k", above / 1_000) } else { format!("above_{above}") }
}

/// The tokens of `above_200k` or `above_200000`.
pub fn tier(name: &str) -> Option<u64> {
    let number = name.strip_prefix("above_")?;
    let (digits, factor) = number.strip_suffix('k').map_or((number, 1), |digits| (digits, 1_000));
    digits.parse::<u64>().ok()?.checked_mul(factor).filter(|tokens| *tokens > 0)
}

fn read_into(table: &Map<String, Value>, above: u64, service: Service, out: &mut Vec<Rate>) -> Result<(), String> {
    for (name, value) in table {
        match (PriceClass::named(name), value) {
            (Some(class), value) => {
                let pico = amount(value, MILLION * MILLION / class.per());
                let pico = pico.ok_or_else(|| format!("{name}: {value} is no amount in dollars"))?;
                out.push(Rate { class, above, service, pico });
            }
            (None, Value::Object(inner)) => match (tier(name), Service::named(name)) {
                (Some(tokens), _) if above == 0 => read_into(inner, tokens, service, out)?,
                (_, Some(word)) if service == Service::Standard => read_into(inner, above, word, out)?,
                _ => return Err(unknown(name)),
            },
            (None, _) => return Err(unknown(name)),
        }
    }
    Ok(())
}

fn unknown(name: &str) -> String {
    let classes: Vec<&str> = CLASSES.iter().map(|row| row.1).collect();
    let services: Vec<&str> = SERVICES.iter().map(|row| row.1).collect();
    format!(
        "'{name}' is no part of a price: there are {}, above_200k = {{…}}, {} = {{…}}",
        classes.join(", "),
        services.join(", ")
    )
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What the owner says about prices, beside the bundled list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceData {
    /// Prices that were set one by one.
    pub own: Vec<OwnPrice>,
    /// The list that was imported last.
    pub imported: Option<ImportedPrices>,
}

/// A price that the owner set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnPrice {
    /// For this channel only; `None`: wherever the model is.
    #[serde(default)]
    pub channel: Option<String>,
    /// The model, by the upstream's name.
    pub model: String,
    /// The price.
    #[schema(value_type = Object)]
    pub price: Price,
    /// Which one it is: every change of prices takes the next number.
    pub version: u64,
    /// When it was set; milliseconds since 1970.
    pub at: u64,
    /// Who set it.
    pub who: String,
}

/// A price list that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedPrices {
    /// Which one it is: every change of prices takes the next number.
    pub version: u64,
    /// When it was imported; milliseconds since 1970.
    pub at: u64,
    /// Who imported it.
    pub who: String,
    /// What it was: `litellm`, `models.dev` or `myelin`, and the version that the file named.
    pub source: String,
    /// How many models it prices.
    pub priced: u64,
    /// The table.
    pub text: std::sync::Arc<str>,
}

#[cfg(test)]
mod tests;
