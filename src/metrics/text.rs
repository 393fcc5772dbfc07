//! From `OpenMetrics` to the older Prometheus text format, for everyone who does not ask for the newer one.
//!
//! The two differ in little: in the older one a counter's name ends in `_total` in its `HELP` and `TYPE` too, there is no type
//! `info`, and no `UNIT` and no `EOF`.

/// Rewrites a whole exposition. A family's `TYPE` is in the line behind its `HELP`.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(comment) = line.strip_prefix("# ") else {
            // The encoder writes an empty set of labels as empty braces.
            match line.split_once("{} ") {
                Some((name, value)) if !name.contains(['{', ' ']) => push(&mut out, &[name, " ", value]),
                _ => push(&mut out, &[line]),
            }
            continue;
        };
        let Some((word, rest)) = comment.split_once(' ') else { continue };
        let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
        let described = match word {
            "HELP" => lines.peek().and_then(|next| next.rsplit(' ').next()).unwrap_or_default(),
            "TYPE" => said,
            _ => continue,
        };
        let (suffix, shown) = match described {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            other => ("", other),
        };
        let said = if word == "TYPE" { shown } else { said };
        push(&mut out, &["# ", word, " ", name, suffix, " ", said]);
    }
    out
}

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_take_their_full_names() {
        let open = "# HELP a_requests All of them.\n# TYPE a_requests counter\na_requests_total{x=\"# HELP\"} 1\n\
            # HELP a_build What runs.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP a_level Now.\n# TYPE a_level gauge\n# UNIT a_level bytes\na_level{} 2\n# EOF\n";
        let plain = "# HELP a_requests_total All of them.\n# TYPE a_requests_total counter\na_requests_total{x=\"# HELP\"} 1\n\
            # HELP a_build_info What runs.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_level Now.\n# TYPE a_level gauge\na_level 2\n";
        assert_eq!(from_open_metrics(open), plain);
    }
}
