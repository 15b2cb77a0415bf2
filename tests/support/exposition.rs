//! A strict parser of the answers of `/metrics`: OpenMetrics 1.0, section 4.1 and the rules in
//! section 5 for the types used here; or Prometheus' text format 0.0.4. On any other line, the test
//! fails and shows it.

use std::collections::{BTreeMap, BTreeSet};

use golinks_scim::metrics::Format;

const PREFIX: &str = "golinks_scim_";
/// The standard metrics of a process have this prefix instead of the program's.
const PREFIX_OF_PROCESSES: &str = "process_";

/// The parsed result of a scrape.
pub(crate) struct Exposition {
    format: Format,
    /// The value and the labels of each series. The key is the series as written, without the
    /// program's prefix.
    pub(crate) samples: BTreeMap<String, (f64, BTreeMap<String, String>)>,
    /// The type of each family, by the family's name without the prefix.
    pub(crate) types: BTreeMap<String, String>,
}

/// The family whose lines are being read. Lines of different families must not be mixed.
#[derive(Default)]
struct Family {
    name: String,
    described: BTreeSet<String>,
    has_samples: bool,
}

/// Reads a whole exposition.
pub(crate) fn read(text: &str, format: Format) -> Exposition {
    let lines = match format {
        Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("it ends with # EOF"),
        Format::Classic => text,
    };
    assert!(lines.ends_with('\n'), "the last line has no end");
    let mut exposition = Exposition {
        format,
        samples: BTreeMap::new(),
        types: BTreeMap::new(),
    };
    let mut family = Family::default();
    for line in lines.split_terminator('\n') {
        assert!(!line.contains('\r') && !line.is_empty(), "{line:?}");
        match line.strip_prefix("# ") {
            Some(description) => exposition.describe(&mut family, description, line),
            None => exposition.sample(&mut family, line),
        }
    }
    exposition.check_histograms();
    exposition
}

impl Exposition {
    fn describe(&mut self, family: &mut Family, description: &str, line: &str) {
        let mut words = description.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
        let (what, name, value) = (word(), word(), word());
        let name = without_prefix(name).unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name), "{line}");
        if family.name != name {
            assert!(!self.types.contains_key(name), "twice: {line}");
            *family = Family {
                name: name.to_owned(),
                ..Family::default()
            };
        }
        assert!(!family.has_samples, "after its samples: {line}");
        assert!(family.described.insert(what.to_owned()), "twice: {line}");
        let is_openmetrics = self.format == Format::OpenMetrics;
        match what {
            // The two formats escape quotes in help texts differently, so there are none.
            "HELP" => assert!(!value.is_empty() && !value.contains(['\\', '"']), "{line}"),
            "UNIT" if is_openmetrics => assert!(name.ends_with(&format!("_{value}")), "{line}"),
            "TYPE" => {
                let known = ["counter", "gauge", "histogram"];
                let is_info = value == "info" && is_openmetrics;
                assert!(known.contains(&value) || is_info, "{line}");
                // In the older format, a family of counters has the name of its samples.
                let is_named_total = name.ends_with("_total");
                let wants_total = value == "counter" && !is_openmetrics;
                assert_eq!(is_named_total, wants_total, "{line}");
                self.types.insert(name.to_owned(), value.to_owned());
            }
            _ => panic!("{line}"),
        }
    }

    fn sample(&mut self, family: &mut Family, line: &str) {
        let line = without_prefix(line).unwrap_or_else(|| panic!("{line}"));
        let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest).unwrap_or_else(|| panic!("{line}")),
            None => (BTreeMap::new(), rest),
        };
        let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let suffix = name.strip_prefix(family.name.as_str());
        let suffix = suffix.unwrap_or_else(|| panic!("of another family: {line}"));
        let kind = &self.types[&family.name];
        let (suffixes, needs_le): (&[&str], bool) = match kind.as_str() {
            "counter" if self.format == Format::OpenMetrics => (&["_total"], false),
            "counter" | "gauge" => (&[""], false),
            "info" => (&["_info"], false),
            _ => (&["_bucket", "_sum", "_count"], suffix == "_bucket"),
        };
        assert!(suffixes.contains(&suffix), "{kind}: {line}");
        assert_eq!(labels.contains_key("le"), needs_le, "{line}");
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        assert!(
            kind != "info" || (value - 1.0).abs() < f64::EPSILON,
            "{line}"
        );
        assert!(value.is_finite(), "{line}");
        family.has_samples = true;
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        let before = self.samples.insert(series.to_owned(), (value, labels));
        assert!(before.is_none(), "twice: {line}");
    }

    /// Asserts that the counts of the buckets ascend, and that the last bucket is `+Inf` and counts
    /// everything.
    fn check_histograms(&self) {
        for (family, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let bucket = format!("{family}_bucket{{");
            let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            for (_, (value, labels)) in self
                .samples
                .iter()
                .filter(|(series, _)| series.starts_with(&bucket))
            {
                let mut labels = labels.clone();
                let le = labels.remove("le").expect("a bucket has a bound");
                let le = match le.as_str() {
                    "+Inf" => f64::INFINITY,
                    number => number.parse().expect("a bound is a number"),
                };
                buckets.entry(labels).or_default().push((le, *value));
            }
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let what = format!("{family} {labels:?} {buckets:?}");
                assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{what}");
                let count = self
                    .samples
                    .iter()
                    .find(|(series, (_, of))| {
                        let name = series.split('{').next();
                        name == Some(&format!("{family}_count")) && *of == labels
                    })
                    .unwrap_or_else(|| panic!("no count: {what}"));
                let last = buckets.last().expect("one at least");
                assert!(last.0.is_infinite(), "{what}");
                assert!((last.1 - count.1.0).abs() < 0.1, "{what}");
            }
        }
    }
}

/// A name or a sample without the program's prefix; `None` if it has no allowed prefix.
fn without_prefix(text: &str) -> Option<&str> {
    let usual = text.starts_with(PREFIX_OF_PROCESSES).then_some(text);
    text.strip_prefix(PREFIX).or(usual)
}

/// The labels before `}`, and the text after it.
fn labels(mut text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    escaped @ ('\\' | '"') => value.push(escaped),
                    _ => return None,
                },
                (_, other) => value.push(other),
            }
        };
        let is_new = is_name(name) && labels.insert(name.to_owned(), value).is_none();
        if !is_new {
            return None;
        }
        let rest = &rest[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => text = more,
            None => return Some((labels, rest.strip_prefix('}')?)),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c == '_';
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[test]
fn what_is_not_openmetrics_is_refused() {
    let good = "# HELP golinks_scim_a Help.\n# TYPE golinks_scim_a counter\n\
                golinks_scim_a_total{x=\"y\",z=\"\\\"\\\\\\n\"} 1\n\
                # HELP golinks_scim_b_seconds Help.\n# TYPE golinks_scim_b_seconds histogram\n\
                # UNIT golinks_scim_b_seconds seconds\ngolinks_scim_b_seconds_sum 3.0\n\
                golinks_scim_b_seconds_count 2\ngolinks_scim_b_seconds_bucket{le=\"1.0\"} 1\n\
                golinks_scim_b_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
    let (_, labels) =
        &read(good, Format::OpenMetrics).samples["a_total{x=\"y\",z=\"\\\"\\\\\\n\"}"];
    assert_eq!(labels["z"], "\"\\\n");
    for (part, bad) in [
        ("# EOF\n", ""),
        ("a_total{", "a{"),
        ("a_total{", "c_total{"),
        ("x=\"y\"", "x=y"),
        ("x=\"y\"", "x=\"y"),
        ("x=\"y\"", "z=\"y\""),
        ("x=\"y\"", "X=\"y\""),
        ("\"} 1\ngolinks_scim_b", "\"}1\ngolinks_scim_b"),
        ("+Inf\"} 2", "+Inf\"} NaN"),
        ("+Inf\"} 2", "+Inf\"} 3"),
        ("le=\"1.0\"} 1", "le=\"1.0\"} 3"),
        ("le=\"+Inf\"", "le=\"2.0\""),
        ("_count 2", "_count -2"),
        (
            "# UNIT golinks_scim_b_seconds seconds",
            "# UNIT golinks_scim_b_seconds bytes",
        ),
        ("# TYPE golinks_scim_a counter", "# TYPE golinks_scim_a sum"),
        (
            "# TYPE golinks_scim_a counter",
            "# HELP golinks_scim_a Again.",
        ),
        (
            "# HELP golinks_scim_b",
            "golinks_scim_a_total 1\n# TYPE golinks_scim_a counter\n# HELP golinks_scim_b",
        ),
        ("# HELP golinks_scim_a Help.\n", "\n"),
    ] {
        assert!(good.contains(part), "{part}");
        let text = good.replacen(part, bad, 1);
        assert_ne!(text, good);
        assert!(is_refused(&text, Format::OpenMetrics), "taken:\n{text}");
    }
    assert!(is_refused(good, Format::Classic));
}

#[test]
fn what_is_not_the_older_format_is_refused() {
    let good = "# HELP golinks_scim_a_total Help.\n# TYPE golinks_scim_a_total counter\n\
                golinks_scim_a_total{x=\"\\\"\\\\\\n\"} 1\n\
                # HELP golinks_scim_b_info Help.\n# TYPE golinks_scim_b_info gauge\n\
                golinks_scim_b_info{v=\"1\"} 1\n";
    assert_eq!(read(good, Format::Classic).samples.len(), 2);
    for (part, bad) in [
        ("golinks_scim_b_info{v=\"1\"} 1\n", "golinks_scim_b_info 1"),
        ("} 1\n", "} 1\n# EOF\n"),
        ("b_info gauge", "b_info info"),
        ("TYPE golinks_scim_a_total", "TYPE golinks_scim_a"),
        ("# TYPE", "# UNIT golinks_scim_a_total total\n# TYPE"),
        ("golinks_scim_b_info{", "golinks_scim_b{"),
    ] {
        assert!(good.contains(part), "{part}");
        let text = good.replacen(part, bad, 1);
        assert!(is_refused(&text, Format::Classic), "taken:\n{text}");
    }
    assert!(is_refused(good, Format::OpenMetrics));
}

fn is_refused(text: &str, format: Format) -> bool {
    std::panic::catch_unwind(|| read(text, format).samples.len()).is_err()
}
