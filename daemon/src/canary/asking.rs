//! Asking a destination whether it has a test alert: a GET whose answer holds the event's id.
//!
//! The id is not in the request: many servers repeat in their answer what they were asked.

use std::time::Duration;

use attestd_core::{BoxFuture, Settings};
use http::HeaderMap;
use reqwest::Url;

use crate::delivery::http_client::{HttpClient, Lazy, chain, is_loopback};
use crate::delivery::reach::{HeadersFrom, Parts, Reach};
use crate::delivery::surroundings::{Surroundings, secret};

/// What can be asked whether a test alert arrived.
pub trait Asker: Send + Sync {
    /// Whether it has the event of this id; or why it cannot be said.
    fn has<'a>(&'a self, event_id: &'a str) -> BoxFuture<'a, Result<bool, String>>;
}

/// Where it is asked, and how that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The whole URL.
    pub url: String,
    /// How.
    pub reach: Reach,
}

impl Query {
    /// Reads `canary_query`, and `canary_headers_file` or `canary_credential`: secrets of the destination itself do not go
    /// elsewhere. Its trust anchors and its timeout count.
    pub fn read(table: &Settings<'_>, around: &Surroundings<'_>, reach: &Reach) -> Option<Query> {
        let hidden = secret(table, "canary_headers_file", "canary_credential", around);
        let text = table.text("canary_query");
        if hidden.is_some() && text.is_none() {
            table.missing("canary_query", "where it is asked whether a test alert arrived");
        }
        let text = text?;
        let url = Url::parse(&text.value)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        let Some(url) = url else {
            let problem = format!("{:?} is no URL that can be asked", text.value);
            table.error_at(text.span, problem);
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let problem = "user and password do not go into it but into `canary_headers_file`";
            table.error_at(text.span, problem);
            return None;
        }
        if url.scheme() == "http" && hidden.is_some() && !url.host_str().is_some_and(is_loopback) {
            table.warn(
                "canary_query",
                "the headers, which may be secret, go over http:// unprotected",
            );
        }
        let headers_from = hidden.map(HeadersFrom::Secret).into_iter().collect();
        Some(Query { url: url.to_string(), reach: Reach { headers_from, ..reach.clone() } })
    }
}

/// Asks by a GET.
pub struct GetAsker {
    queries: Vec<Query>,
    clients: Lazy<Vec<HttpClient>>,
}

impl GetAsker {
    /// Asks these one after the other: one member of a cluster that has it is enough.
    pub fn new(queries: Vec<Query>) -> GetAsker {
        GetAsker { queries, clients: Lazy::new() }
    }

    async fn ask(&self, event_id: &str) -> Result<bool, String> {
        let clients = self.clients.get(|| self.queries.iter().map(client).collect());
        let clients = clients.map_err(|error: String| error)?;
        let mut failed = None;
        for (query, client) in self.queries.iter().zip(clients.iter()) {
            match client.get(&query.url).await {
                Ok(body) if holds(&body, event_id) => return Ok(true),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(false), Err)
    }
}

fn client(query: &Query) -> Result<HttpClient, String> {
    let parts = Parts::read(&query.reach).map_err(|error| chain(&error))?;
    let url = Url::parse(&query.url).ok();
    let direct = url.is_some_and(|url| url.host_str().is_some_and(is_loopback));
    let timeout: Duration = query.reach.timeout;
    HttpClient::new(&parts, HeaderMap::new(), timeout, direct).map_err(|error| chain(&error))
}

fn holds(body: &[u8], event_id: &str) -> bool {
    !event_id.is_empty() && body.windows(event_id.len()).any(|part| part == event_id.as_bytes())
}

impl Asker for GetAsker {
    fn has<'a>(&'a self, event_id: &'a str) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let answer = self.ask(event_id).await;
            if answer.is_err() {
                self.clients.forget();
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::http::{answer, reach, receiver};
    use crate::delivery::trials::problems;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[tokio::test]
    async fn it_arrived_where_the_answer_holds_its_id_and_nowhere_else() {
        let large = [vec![b'x'; 70_000], ID.as_bytes().to_vec()].concat();
        let rows: Vec<(Vec<u8>, Result<bool, &str>, &str)> = vec![
            (
                answer("200 OK", "", format!("[{{\"id\":\"{ID}\"}}]").as_bytes()),
                Ok(true),
                "it is there",
            ),
            (answer("200 OK", "", b"[]"), Ok(false), "it is not"),
            (answer("200 OK", "", &ID.as_bytes()[..31]), Ok(false), "half of it is another"),
            (
                answer("404 Not Found", "", ID.as_bytes()),
                Err("404"),
                "an error says nothing, whatever it holds",
            ),
            (answer("302 Found", "Location: /x\r\n", ID.as_bytes()), Err("302"), "nor a redirect"),
            (
                answer("200 OK", "", &large),
                Err("over 65536 bytes"),
                "an answer is read within limits",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n0123".to_vec(),
                Err("broke off"),
                "it breaks off",
            ),
            (b"SSH-2.0-x\r\n".to_vec(), Err("error sending request"), "no HTTP at all"),
        ];
        let count = rows.len();
        for (bytes, expected, why) in rows {
            let (base, mut requests) = receiver(bytes).await;
            let query = Query { url: format!("{base}/loki?query=all"), reach: reach() };
            let told = GetAsker::new(vec![query]).has(ID).await;
            match expected {
                Ok(has) => assert_eq!(told, Ok(has), "{why}"),
                Err(part) => {
                    assert!(
                        told.as_ref().is_err_and(|error| error.contains(part)),
                        "{why}: {told:?}"
                    );
                }
            }
            let (head, _) = requests.recv().await.expect("a request");
            assert!(head.starts_with("GET /loki?query=all ") && !head.contains(ID), "{head}");
        }
        println!("{count} answers");
    }

    #[tokio::test]
    async fn one_member_of_a_cluster_is_enough() {
        let (down, _requests) = receiver(answer("503 Busy", "", b"")).await;
        let (up, _requests) = receiver(answer("200 OK", "", ID.as_bytes())).await;
        let query = |base: &str| Query { url: base.to_owned(), reach: reach() };
        assert_eq!(GetAsker::new(vec![query(&down), query(&up)]).has(ID).await, Ok(true));
    }

    #[test]
    fn every_problem_is_told() {
        for (text, expected) in [
            ("canary_query = \"http://127.0.0.1:3100/loki\"", None),
            ("", None),
            ("canary_query = \"loki\"", Some("\"loki\" is no URL that can be asked")),
            ("canary_query = \"ftp://a/\"", Some("is no URL that can be asked")),
            ("canary_query = \"https://u:p@a/\"", Some("user and password do not go into it")),
            ("canary_credential = \"loki\"", Some("needs `canary_query`")),
            (
                "canary_query = \"http://a/\"\ncanary_credential = \"loki\"",
                Some("go over http:// unprotected"),
            ),
        ] {
            let (_, told) = problems(text, |table, around| {
                let query = Query::read(table, around, &reach());
                table.finish();
                query
            });
            let says = |expected: &str| told.iter().any(|problem| problem.contains(expected));
            assert!(expected.map_or(told.is_empty(), says), "{text}: {told:?}");
        }
    }
}
