//! Which route of the table a request leads to.

use std::borrow::Cow;

use super::route::Route;
use super::routes::ROUTES;
use crate::model::percent;

/// Where a request leads.
#[derive(Debug)]
pub(super) struct FoundRoute<'a> {
    pub(super) route: &'static Route,
    /// What stands in the path for the names in braces, decoded, in their order.
    pub(super) names: Vec<Cow<'a, str>>,
}

/// Why it leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// There is nothing at the path.
    Path,
    /// There is, for these methods.
    Method { route: &'static str, methods: String },
}

/// Finds what a request asks for.
pub(super) fn find<'a>(method: &str, path: &'a str) -> Result<FoundRoute<'a>, NotFound> {
    let mut methods = Vec::new();
    let mut known = "";
    for route in ROUTES {
        let Some(names) = matched(route.path, path) else { continue };
        if route.method == method || route.method == "GET" && method == "HEAD" {
            return Ok(FoundRoute { route, names });
        }
        known = route.path;
        methods.push(route.method);
        if route.method == "GET" {
            methods.push("HEAD");
        }
    }
    Err(if methods.is_empty() { NotFound::Path } else { NotFound::Method { route: known, methods: methods.join(", ") } })
}

fn decode(part: &str) -> Option<Cow<'_, str>> {
    percent::decode(part).filter(|name| percent::is_sound(part) && !name.is_empty())
}

/// What stands for the names in braces, if the path is of this form; one that begins with a plus takes the rest of the path.
fn matched<'a>(form: &str, path: &'a str) -> Option<Vec<Cow<'a, str>>> {
    let (mut forms, mut parts) = (form.split('/'), path.split('/'));
    let mut names = Vec::new();
    loop {
        match (forms.next(), parts.next()) {
            (None, None) => return Some(names),
            (Some(form), Some(part)) if form.starts_with("{+") => {
                let at = path.len() - parts.map(|part| part.len() + 1).sum::<usize>() - part.len();
                names.push(decode(&path[at..])?);
                return Some(names);
            }
            (Some(form), Some(part)) if form.starts_with('{') => {
                names.push(decode(part)?);
            }
            (Some(form), Some(part)) if form == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::Role;
    use crate::web::admin::route_name::RouteName;
    use crate::web::admin::visitor::Who;
    use std::collections::BTreeSet;

    fn place(method: &str, path: &str) -> Option<RouteName> {
        find(method, path).ok().map(|found| found.route.place)
    }

    #[test]
    fn a_path_has_one_route_for_a_method_or_none() {
        for (method, path, expected) in [
            ("GET", "/metrics", Some(RouteName::Metrics)),
            ("HEAD", "/metrics", Some(RouteName::Metrics)),
            ("GET", "/v1", Some(RouteName::About)),
            ("POST", "/v1/harvest", Some(RouteName::OrderHarvest)),
            ("DELETE", "/v1/harvest/a1", Some(RouteName::CancelHarvest)),
            ("GET", "/v1/harvest/", None),
            ("GET", "/v1/harvest/a/b", None),
            ("GET", "/v1/harvest/%ff", None),
            ("GET", "/v1/harvests", None),
            ("GET", "/v1/", None),
            ("GET", "/cache/live/a.ts", None),
        ] {
            assert_eq!(place(method, path), expected, "{method} {path}");
        }
        assert_eq!(find("GET", "/v1/preview/live/a/b%20c.ts").unwrap().names, ["live", "a/b c.ts"]);
        assert_eq!(place("GET", "/v1/preview/live/"), None);
        assert_eq!(find("GET", "/v1/harvest/a%2Fb").unwrap().names, ["a/b"]);
        let methods = "GET, HEAD, POST".to_owned();
        assert_eq!(find("PUT", "/v1/harvest").unwrap_err(), NotFound::Method { route: "/v1/harvest", methods });
        assert_eq!(find("PUT", "/").unwrap_err(), NotFound::Path);
    }

    #[test]
    fn each_route_is_found_by_its_own_path_and_says_who_may() {
        let mut seen = BTreeSet::new();
        for route in ROUTES {
            assert!(seen.insert((route.method, route.path)), "{} {} stands there twice", route.method, route.path);
            let path = route.path.replace(['{', '+', '}'], "");
            let found = find(route.method, &path).unwrap();
            assert_eq!((found.route.place, found.route.path), (route.place, route.path));
            assert!(route.about.ends_with('.'), "{}", route.path);
            // What changes something takes more than looking on, but for signing in and out.
            let changes = !matches!(route.method, "GET") && route.path != "/v1/session" && route.who != Who::Vends;
            assert!(!changes || route.who.role().is_some_and(|role| role.includes(Role::Operator)), "{}", route.path);
        }
    }
}
