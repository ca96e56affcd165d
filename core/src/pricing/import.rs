//! Price lists that others keep, read into a [`Table`]: LiteLLM's JSON, models.dev's JSON, and our own.
//!
//! A file with a mistake is refused whole: half a price list is worse than yesterday's.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::limits::{ModelLimits, media_named};
use super::table::{Table, write_rates};
use crate::model::{OffPeak, Price, PriceClass, Rate, Service, amount};

type Object = Map<String, Value>;

/// 10¹²: dollars to picodollars.
const PICO: u64 = 1_000_000_000_000;
/// A list with fewer priced models is surely not whole.
const FEWEST: usize = 1;

/// The file is no price list that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportError(String);

impl ImportError {
    /// With the reason in words.
    pub fn new(why: String) -> Self {
        Self(why)
    }
}

/// How rows of a format tell whose figures they are; the owner's own are `O`.
const SOURCES: [(&str, &str); 2] = [("litellm", "L"), ("models.dev", "M")];

/// What a file is, and what it holds, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// `litellm`, `models.dev` or `myelin`.
    pub format: &'static str,
    /// The version that the file names, if it does.
    pub version: Option<String>,
    rows: BTreeMap<String, (Price, ModelLimits)>,
}

impl Imported {
    /// Reads a file of any of the formats.
    ///
    /// # Errors
    /// When it is none of them, or has a mistake: which, and where.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| ImportError(format!("the file is no JSON: {error}")))?;
        let Value::Object(top) = value else {
            return Err(ImportError("the file is no price list: it holds no object".to_owned()));
        };
        let is_models_dev = |entry: &Value| entry.get("models").is_some_and(Value::is_object);
        let is_litellm = |entry: &Value| entry.get("litellm_provider").is_some();
        let (format, rows) = match top.get("prices") {
            Some(prices) => ("myelin", own(prices)?),
            None if top.values().any(is_litellm) => ("litellm", litellm(&top)?),
            None if !top.is_empty() && top.values().all(is_models_dev) => ("models.dev", models_dev(&top)?),
            None => {
                let known = "LiteLLM's model_prices.json, models.dev's api.json, or {\"prices\": {\"provider/model\": {\"input\": 1.25, …}}}";
                return Err(ImportError(format!("the file is no price list: it can be {known}")));
            }
        };
        if rows.values().filter(|(price, _)| !price.is_empty()).count() < FEWEST {
            return Err(ImportError("the file holds no price".to_owned()));
        }
        let version = top.get("version").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { format, version, rows })
    }

    /// How many models it prices.
    pub fn priced(&self) -> usize {
        self.rows.values().filter(|(price, _)| !price.is_empty()).count()
    }

    /// As a table.
    pub fn table(&self, version: &str) -> Table {
        let source = SOURCES.iter().find(|(format, _)| *format == self.format).map_or("O", |(_, letter)| letter);
        Table::write(version, &[], self.lines(source))
    }

    fn lines(&self, source: &str) -> Vec<(String, String)> {
        let line = |(key, (price, limits)): (&String, &(Price, ModelLimits))| {
            (key.clone(), format!("{source}\t{}\t{}", write_rates(price), limits.write()))
        };
        self.rows.iter().map(line).collect()
    }
}

/// The table that comes with the program: LiteLLM's prices, models.dev's where it has none; models.dev's limits, LiteLLM's where it has none.
pub fn bundle(version: &str, notes: &[&str], litellm: &Imported, models_dev: &Imported) -> Table {
    let mut rows: BTreeMap<&String, (&str, &Price, &ModelLimits)> = BTreeMap::new();
    for (key, (price, limits)) in &litellm.rows {
        rows.insert(key, ("L", price, limits));
    }
    for (key, (price, limits)) in &models_dev.rows {
        let row = rows.entry(key).or_insert(("M", price, limits));
        row.2 = limits;
        if row.1.is_empty() {
            (row.0, row.1) = ("M", price);
        }
    }
    let line = |(key, (source, price, limits)): (&String, (&str, &Price, &ModelLimits))| {
        (key.clone(), format!("{source}\t{}\t{}", write_rates(price), limits.write()))
    };
    Table::write(version, notes, rows.into_iter().map(line).collect())
}

/// Our own format: `{"prices": {"provider/model": {…}}}`, each as in the configuration file.
fn own(prices: &Value) -> Result<BTreeMap<String, (Price, ModelLimits)>, ImportError> {
    let wrong = |key: &str, why: &str| ImportError(format!("prices.{key:?}: {why}"));
    let prices = prices.as_object().ok_or_else(|| ImportError("\"prices\" is no object".to_owned()))?;
    let mut rows = BTreeMap::new();
    for (key, table) in prices {
        let lower = key.trim().to_lowercase();
        if !is_key(&lower) {
            return Err(wrong(key, "is no provider/model"));
        }
        let table = table.as_object().ok_or_else(|| wrong(key, "is no table of rates"))?;
        let price = Price::read(table).map_err(|why| wrong(key, &why))?;
        rows.insert(lower, (price, ModelLimits::default()));
    }
    Ok(rows)
}

/// A key that a table can hold.
fn is_key(key: &str) -> bool {
    let sound = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_control());
    key.split_once('/').is_some_and(|(provider, model)| sound(provider) && sound(model)) && !key.starts_with('#')
}

/// LiteLLM's names of providers, and ours; others keep theirs with `-` for `_`.
const LITELLM_PROVIDERS: [(&str, &str); 22] = [
    ("text-completion-openai", "openai"),
    ("bedrock_converse", "bedrock"),
    ("azure_ai", "azure"),
    ("azure_text", "azure"),
    ("fireworks_ai", "fireworks"),
    ("fireworks_ai-embedding-models", "fireworks"),
    ("together_ai", "together"),
    ("dashscope", "qwen"),
    ("volcengine", "doubao"),
    ("cohere_chat", "cohere"),
    ("friendliai", "friendli"),
    ("nvidia_nim", "nvidia"),
    ("codestral", "mistral"),
    ("text-completion-codestral", "mistral"),
    ("tencent", "hunyuan"),
    ("bigmodel", "zhipu"),
    ("jina_ai", "jina"),
    ("meta_llama", "meta-llama"),
    ("qwen_ai_platform", "qwen-ai-platform"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("sagemaker_chat", "sagemaker"),
];

fn litellm_provider(name: &str) -> String {
    let known = LITELLM_PROVIDERS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| (*ours).to_owned());
    known.unwrap_or_else(|| {
        if name.starts_with("vertex_ai") { "vertex".to_owned() } else { name.to_lowercase().replace('_', "-") }
    })
}

/// Rows that describe no model.
const NO_MODELS: [&str; 2] = ["sample_spec", "fallback_generalizations"];

fn litellm(top: &Object) -> Result<BTreeMap<String, (Price, ModelLimits)>, ImportError> {
    let mut rows = BTreeMap::new();
    for (name, entry) in top.iter().filter(|(name, _)| !NO_MODELS.contains(&name.as_str())) {
        let wrong = |why: &str| ImportError(format!("{name:?}: {why}"));
        let entry = entry.as_object().ok_or_else(|| wrong("is no object"))?;
        let Some(provider) = entry.get("litellm_provider").and_then(Value::as_str) else { continue };
        // Prices of capacity that is bought by the month are none of a request.
        if name.contains("-month-commitment") {
            continue;
        }
        let provider = litellm_provider(provider);
        let model = match name.split_once('/') {
            Some((head, rest)) if litellm_provider(head) == provider => rest,
            _ => name.as_str(),
        };
        let key = format!("{provider}/{}", model.to_lowercase());
        if !is_key(&key) {
            return Err(wrong("is no name of a model"));
        }
        let price = litellm_price(entry).map_err(|why| wrong(&why))?;
        let limits = litellm_limits(entry);
        if !price.is_empty() || !limits.is_empty() {
            rows.entry(key).or_insert((price, limits));
        }
    }
    Ok(rows)
}

/// LiteLLM's names of costs, and ours. What it adds to them (`_above_200k_tokens`, `_priority`) comes behind.
const LITELLM_COSTS: [(&str, PriceClass); 28] = [
    ("input_cost_per_token", PriceClass::Input),
    ("output_cost_per_token", PriceClass::Output),
    ("cache_read_input_token_cost", PriceClass::CacheRead),
    ("input_cost_per_token_cache_hit", PriceClass::CacheRead),
    ("cache_creation_input_token_cost_above_1hr", PriceClass::CacheWrite1h),
    ("cache_creation_input_token_cost", PriceClass::CacheWrite),
    ("output_cost_per_reasoning_token", PriceClass::Reasoning),
    ("input_cost_per_audio_token", PriceClass::AudioInput),
    ("cache_read_input_audio_token_cost", PriceClass::AudioCacheRead),
    ("output_cost_per_audio_token", PriceClass::AudioOutput),
    ("input_cost_per_image_token", PriceClass::ImageInput),
    ("cache_read_input_image_token_cost", PriceClass::ImageCacheRead),
    ("output_cost_per_image_token", PriceClass::ImageOutput),
    ("input_cost_per_image", PriceClass::ImageRead),
    ("output_cost_per_image", PriceClass::ImageMade),
    ("input_cost_per_second", PriceClass::SecondRead),
    ("input_cost_per_audio_per_second", PriceClass::SecondRead),
    ("cost_per_second", PriceClass::SecondRead),
    ("output_cost_per_second", PriceClass::SecondMade),
    ("output_cost_per_video_per_second", PriceClass::SecondMade),
    ("input_cost_per_character", PriceClass::CharacterRead),
    ("output_cost_per_character", PriceClass::CharacterMade),
    ("input_cost_per_query", PriceClass::Request),
    ("input_cost_per_request", PriceClass::Request),
    ("ocr_cost_per_page", PriceClass::Page),
    ("search_context_size_medium", PriceClass::WebSearch),
    ("search_context_size_low", PriceClass::WebSearch),
    ("search_context_size_high", PriceClass::WebSearch),
];

/// What follows the name of a cost: `_above_200k_tokens`, then a service. `None`: something else, which changes no price that we know of.
fn litellm_tier(rest: &str) -> Option<(u64, Service)> {
    let (above, rest) = match rest.strip_prefix("_above_") {
        Some(tail) => {
            let (digits, rest) = tail.split_once("k_tokens")?;
            (digits.parse::<u64>().ok()?.checked_mul(1_000)?, rest)
        }
        None => (0, rest),
    };
    let service = match rest.strip_prefix('_') {
        None if rest.is_empty() => Service::Standard,
        Some("batches") => Service::Batch,
        Some(word) => Service::named(word)?,
        None => return None,
    };
    Some((above, service))
}

fn litellm_price(entry: &Object) -> Result<Price, String> {
    let mut rates = Vec::new();
    // In the order of our table: where two of their names mean one class, the first counts.
    for (name, class) in LITELLM_COSTS {
        for (field, value) in entry {
            // `…_above_1hr_above_200k_tokens` is told by the longer name, which comes first.
            let Some((above, service)) = field.strip_prefix(name).and_then(litellm_tier) else { continue };
            push(&mut rates, field, value, Rate { class, above, service, pico: 0 })?;
        }
        if let Some(search) = entry.get("search_context_cost_per_query").and_then(|search| search.get(name)) {
            push(&mut rates, name, search, Rate { class, above: 0, service: Service::Standard, pico: 0 })?;
        }
    }
    for range in entry.get("tiered_pricing").and_then(Value::as_array).into_iter().flatten() {
        let from = range.pointer("/range/0").and_then(Value::as_f64);
        let Some(from) = from.filter(|from| *from >= 0.0 && *from < 1e12) else { continue };
        for (name, class) in LITELLM_COSTS {
            if let Some(value) = range.get(name) {
                push(&mut rates, name, value, Rate { class, above: from as u64, service: Service::Standard, pico: 0 })?;
            }
        }
    }
    let mut hours = Vec::new();
    if let Some(Value::Object(off_peak)) = entry.get("off_peak_pricing") {
        for (name, class) in LITELLM_COSTS {
            if let Some(value) = off_peak.get(name) {
                push(&mut rates, name, value, Rate { class, above: 0, service: Service::OffPeak, pico: 0 })?;
            }
        }
        hours = off_peak_hours(off_peak.get("windows")).ok_or("off_peak_pricing.windows cannot be read")?;
    }
    Ok(Price::new(rates, hours))
}

fn push(rates: &mut Vec<Rate>, field: &str, value: &Value, rate: Rate) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let pico = amount(value, PICO).ok_or_else(|| format!("{field}: {value} is no amount"))?;
    rates.push(Rate { pico, ..rate });
    Ok(())
}

/// `[{"hours_utc": ["04:00-06:00"], "weekdays": [1, 2]}]`, Monday is 1; midnight at the end is written `00:00`.
fn off_peak_hours(windows: Option<&Value>) -> Option<Vec<OffPeak>> {
    let mut out = Vec::new();
    for window in windows?.as_array()? {
        let mut days = 0;
        match window.get("weekdays") {
            None => days = 0b0111_1111,
            Some(list) => {
                for day in list.as_array()? {
                    let day = day.as_u64().filter(|day| (1..=7).contains(day))?;
                    days |= 1 << (day - 1);
                }
            }
        }
        let hours = window.get("hours_utc")?;
        let spans = hours.as_array().map_or_else(|| std::slice::from_ref(hours), Vec::as_slice);
        for span in spans {
            let (from, to) = span.as_str()?.split_once('-')?;
            let (from, to) = (minute(from)?, minute(to).map(|to| if to == 0 { 1_440 } else { to })?);
            out.push(OffPeak { days, from, to });
        }
    }
    Some(out)
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

fn litellm_limits(entry: &Object) -> ModelLimits {
    let number = |name: &str| entry.get(name).and_then(Value::as_u64).filter(|number| *number > 0);
    // Where a flag is missing nothing is known: the table lists what models can, rarely what they cannot.
    let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
    let words = |name: &str| {
        let words = entry.get(name).and_then(Value::as_array).into_iter().flatten();
        media_named(words.filter_map(Value::as_str))
    };
    ModelLimits {
        context: None,
        input: number("max_input_tokens"),
        output: number("max_output_tokens"),
        reads: words("supported_modalities"),
        writes: words("supported_output_modalities"),
        tools: flag("supports_function_calling"),
        reasoning: flag("supports_reasoning"),
        structured_output: flag("supports_response_schema"),
        temperature: None,
    }
}

/// models.dev's names of providers, and ours; others are the same.
const MODELS_DEV_PROVIDERS: [(&str, &str); 15] = [
    ("google", "gemini"),
    ("google-vertex", "vertex"),
    ("google-vertex-anthropic", "vertex"),
    ("amazon-bedrock", "bedrock"),
    ("moonshotai", "moonshot"),
    ("moonshotai-cn", "moonshot-cn"),
    ("kimi-for-coding", "kimi-code"),
    ("zhipuai", "zhipu"),
    ("zai-coding-plan", "zai-coding"),
    ("zhipuai-coding-plan", "zhipu-coding"),
    ("alibaba", "qwen"),
    ("alibaba-cn", "qwen-cn"),
    ("togetherai", "together"),
    ("fireworks-ai", "fireworks"),
    ("vercel", "vercel-ai-gateway"),
];

/// models.dev's names of costs, in dollars a million tokens.
const MODELS_DEV_COSTS: [(&str, PriceClass); 10] = [
    ("input", PriceClass::Input),
    ("output", PriceClass::Output),
    ("cache_read", PriceClass::CacheRead),
    ("cached_input", PriceClass::CacheRead),
    ("cache_input", PriceClass::CacheRead),
    ("cache_write", PriceClass::CacheWrite),
    ("cached_write", PriceClass::CacheWrite),
    ("reasoning", PriceClass::Reasoning),
    ("input_audio", PriceClass::AudioInput),
    ("output_audio", PriceClass::AudioOutput),
];

fn models_dev(top: &Object) -> Result<BTreeMap<String, (Price, ModelLimits)>, ImportError> {
    let mut rows = BTreeMap::new();
    for (provider, entry) in top {
        let ours =
            MODELS_DEV_PROVIDERS.iter().find(|(theirs, _)| theirs == provider).map_or(provider.as_str(), |row| row.1);
        let models = entry.get("models").and_then(Value::as_object).into_iter().flatten();
        for (model, entry) in models {
            let wrong = |why: &str| ImportError(format!("{provider}/{model}: {why}"));
            let entry = entry.as_object().ok_or_else(|| wrong("is no object"))?;
            let key = format!("{ours}/{}", model.to_lowercase());
            if !is_key(&key) {
                return Err(wrong("is no name of a model"));
            }
            let price = models_dev_price(entry.get("cost")).map_err(|why| wrong(&why))?;
            rows.entry(key).or_insert((price, models_dev_limits(entry)));
        }
    }
    Ok(rows)
}

fn models_dev_price(cost: Option<&Value>) -> Result<Price, String> {
    let Some(cost) = cost.and_then(Value::as_object) else { return Ok(Price::default()) };
    let mut rates = Vec::new();
    let mut take = |cost: &Object, above: u64| -> Result<(), String> {
        for (name, class) in MODELS_DEV_COSTS {
            let Some(value) = cost.get(name) else { continue };
            let pico = amount(value, PICO / class.per()).ok_or_else(|| format!("{name}: {value} is no amount"))?;
            // A cache that costs nothing beside an input that costs something was not filled in.
            let unknown = pico == 0
                && matches!(class, PriceClass::CacheRead | PriceClass::CacheWrite)
                && cost.get("input").and_then(Value::as_f64).is_some_and(|input| input > 0.0);
            if !unknown {
                rates.push(Rate { class, above, service: Service::Standard, pico });
            }
        }
        Ok(())
    };
    take(cost, 0)?;
    for tier in cost.get("tiers").and_then(Value::as_array).into_iter().flatten() {
        let size = tier.pointer("/tier/size").and_then(Value::as_u64).ok_or("a tier names no size")?;
        take(tier.as_object().ok_or("a tier is no object")?, size)?;
    }
    Ok(Price::new(rates, Vec::new()))
}

fn models_dev_limits(entry: &Object) -> ModelLimits {
    let number = |name: &str| {
        let number = entry.get("limit").and_then(|limit| limit.get(name)).and_then(Value::as_u64);
        number.filter(|number| *number > 0)
    };
    let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
    let words = |way: &str| {
        let words = entry.get("modalities").and_then(|media| media.get(way)).and_then(Value::as_array);
        media_named(words.into_iter().flatten().filter_map(Value::as_str))
    };
    ModelLimits {
        context: number("context"),
        input: number("input"),
        output: number("output"),
        reads: words("input"),
        writes: words("output"),
        tools: flag("tool_call"),
        reasoning: flag("reasoning"),
        structured_output: flag("structured_output"),
        temperature: flag("temperature"),
    }
}

#[cfg(test)]
mod tests;
