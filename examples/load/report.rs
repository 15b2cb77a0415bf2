//! Formats what was measured, for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::drive::{Samples, to_f64};

/// One side of a comparison.
#[derive(Clone, Default)]
pub(crate) struct Side {
    pub(crate) samples: Samples,
    /// CPU time of its process, in seconds.
    pub(crate) cpu: f64,
    /// CPU time of this process meanwhile, which generates the load, in seconds.
    pub(crate) generator: f64,
}

impl Side {
    /// CPU time of one request, in microseconds.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.micros_per_request(self.cpu)
    }

    fn micros_per_request(&self, seconds: f64) -> f64 {
        seconds * 1e6 / to_f64(self.samples.requests.max(1))
    }
}

/// A workload, and its limit in the same run.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) server: Side,
    /// The name of what it is compared with, and the figures of that.
    pub(crate) limit: Option<(&'static str, Side)>,
    /// Only where many clients write: the limit with everything that waits in each commit.
    pub(crate) whole: Option<Side>,
    /// Anything else that was measured.
    pub(crate) facts: Facts,
}

impl Line {
    pub(crate) fn new(
        name: &'static str,
        server: Side,
        limit: Option<(&'static str, Side)>,
        facts: Facts,
    ) -> Self {
        Self {
            name,
            server,
            limit,
            whole: None,
            facts,
        }
    }

    /// Failed requests, of the limits, too.
    pub(crate) fn errors(&self) -> usize {
        self.sides().map(|side| side.samples.errors).sum()
    }

    fn sides(&self) -> impl Iterator<Item = &Side> {
        let limit = self.limit.iter().map(|(_, side)| side);
        [&self.server].into_iter().chain(limit).chain(&self.whole)
    }
}

/// Figures with their names and units.
#[derive(Default)]
pub(crate) struct Facts(Vec<Fact>);

#[derive(Serialize)]
struct Fact {
    name: String,
    figure: f64,
    unit: &'static str,
}

impl Facts {
    pub(crate) fn add(&mut self, name: &str, figure: f64, unit: &'static str) {
        let name = name.to_owned();
        self.0.push(Fact { name, figure, unit });
    }

    /// Adds one, and says it at once on the standard error output.
    pub(crate) fn tell(&mut self, name: &str, figure: f64, unit: &'static str) {
        eprintln!("{name}: {figure:.2} {unit}");
        self.add(name, figure, unit);
    }
}

/// The column titles; each line ends with the ratios.
pub(crate) const HEADER: &str = "workload                 per s    p50 ms   p99 ms p99.9 ms  errors  us CPU  driving | \
limit        per s   p99 ms  us CPU | of its rate  of its CPU";

pub(crate) fn text(line: &Line) -> String {
    let (it, mut text) = (&line.server.samples, String::new());
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "{:20} {:9.0} {:9.3} {:8.3} {:8.3} {:7} {:7.1} {:8.1} |",
        line.name,
        it.per_second(),
        it.quantile(0.5),
        it.quantile(0.99),
        it.quantile(0.999),
        it.errors,
        line.server.cpu_per_request(),
        line.server.micros_per_request(line.server.generator),
    );
    if let Some((name, side)) = &line.limit {
        let _ = write!(
            text,
            " {name:9} {:8.0} {:8.3} {:7.1} | {:11.2} {:11.2}",
            side.samples.per_second(),
            side.samples.quantile(0.99),
            side.cpu_per_request(),
            it.per_second() / side.samples.per_second().max(1e-9),
            line.server.cpu_per_request() / side.cpu_per_request().max(1e-9),
        );
    }
    for Fact { name, figure, unit } in &line.facts.0 {
        let places = if *figure < 100.0 { 2 } else { 0 };
        let _ = write!(text, "  {name} {figure:.places$} {unit};");
    }
    if let Some(whole) = &line.whole {
        let _ = write!(
            text,
            "  with all that waits in each commit redb does {:.0}, {:.2} of its rate;",
            whole.samples.per_second(),
            it.per_second() / whole.samples.per_second().max(1e-9),
        );
    }
    if let Some(error) = line.sides().find_map(|side| side.samples.error.as_ref()) {
        let _ = write!(text, "  the first error: {error}");
    }
    text
}

/// The same as JSON, for a program that tracks the figures.
pub(crate) fn json(setting: &Value, lines: &[Line], facts: &Facts) -> Value {
    let side = |side: &Side| {
        json!({
            "perSecond": side.samples.per_second(),
            "p50Ms": side.samples.quantile(0.5),
            "p99Ms": side.samples.quantile(0.99),
            "p999Ms": side.samples.quantile(0.999),
            "requests": side.samples.requests,
            "errors": side.samples.errors,
            "cpuMicrosPerRequest": side.cpu_per_request(),
            "generatorCpuMicrosPerRequest": side.micros_per_request(side.generator),
        })
    };
    let line = |line: &Line| {
        let limit = line.limit.as_ref();
        json!({
            "workload": line.name,
            "server": side(&line.server),
            "limit": limit.map(|(name, _)| *name),
            "limitFigures": limit.map(|(_, it)| side(it)),
            "limitWithWholeBatches": line.whole.as_ref().map(side),
            "facts": line.facts.0,
        })
    };
    json!({
        "setting": setting,
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
        "facts": facts.0,
    })
}
