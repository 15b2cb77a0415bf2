//! The older text format of Prometheus (version 0.0.4), for readers that do not know OpenMetrics: a
//! single OpenMetrics line makes them refuse the whole text. It is converted from the OpenMetrics
//! text, so that there is only one table of metrics.
//!
//! Samples are the same in both: names, labels, values and the escapes in a label's value. The
//! descriptions differ: here a family of counters has the name of its samples, there is no type
//! `info`, no UNIT and no EOF. HELP is escaped differently, so no help text contains a quote or a
//! backslash.

/// The media type of the text that [`of`] returns.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Converts an OpenMetrics text to the older format.
pub(super) fn of(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    // Splitting is safe, because a line feed in a label's value is escaped.
    for line in open_metrics.split_terminator('\n') {
        let Some(description) = line.strip_prefix("# ") else {
            text.extend([line, "\n"]);
            continue;
        };
        let mut words = description.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            // Written together with the type, because the type decides the suffix of the name.
            (Some("HELP"), Some(_), Some(said)) => help = said,
            (Some("TYPE"), Some(family), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                text.extend(["# HELP ", family, suffix, " ", help, "\n"]);
                text.extend(["# TYPE ", family, suffix, " ", kind, "\n"]);
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_those_of_the_older_format() {
        let open_metrics = "# HELP a Of a.\n# TYPE a counter\na_total{x=\"\\n# TYPE \\\"\\\\\"} 1\n\
            # HELP b_seconds Of b.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
            b_seconds_sum 3.0\nb_seconds_count 2\nb_seconds_bucket{le=\"1.0\"} 1\n\
            b_seconds_bucket{le=\"+Inf\"} 2\n# HELP c Of c.\n# TYPE c gauge\nc -1\n\
            # HELP d Of d.\n# TYPE d info\nd_info{v=\"1\"} 1\n# EOF\n";
        let classic = "# HELP a_total Of a.\n# TYPE a_total counter\n\
            a_total{x=\"\\n# TYPE \\\"\\\\\"} 1\n\
            # HELP b_seconds Of b.\n# TYPE b_seconds histogram\n\
            b_seconds_sum 3.0\nb_seconds_count 2\nb_seconds_bucket{le=\"1.0\"} 1\n\
            b_seconds_bucket{le=\"+Inf\"} 2\n# HELP c Of c.\n# TYPE c gauge\nc -1\n\
            # HELP d_info Of d.\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n";
        assert_eq!(of(open_metrics), classic);
    }
}
