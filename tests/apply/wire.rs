//! A server that shares no code with the sandbox, byte by byte on plain sockets: what only a
//! connection or a header can do, and what no ImageKit would answer.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::harness::{World, files, ids, sheet};

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Asked {
    /// The file that its path names.
    pub(crate) fn file(&self) -> &str {
        self.path.split('/').nth(3).unwrap_or_default()
    }

    /// Its body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A server, and what it was asked.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers the first request of each connection, and closes it at the moment at which the next
    /// one comes.
    pub(crate) fn start(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let server = Self { address, asked: Arc::clone(&asked) };
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                std::thread::spawn(move || {
                    let answer = |request: Asked| {
                        let text = answer(&request);
                        asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                        text
                    };
                    // A client that has gone needs no answer.
                    drop(serve(&stream, answer));
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: &TcpStream, answer: impl Fn(Asked) -> String) -> std::io::Result<()> {
    let Some(request) = read_request(&mut BufReader::new(stream))? else {
        return Ok(());
    };
    stream.write_all(answer(request).as_bytes())?;
    // What has come and is not read makes closing a reset.
    stream.peek(&mut [0]).map(drop)
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("the client sends a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Asked { method, path, body }))
}

/// An answer, from its status line and further headers, and its body.
pub(crate) fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What an ImageKit answers that does what it is asked: the file with the fields of the PATCH, and
/// every extension a success.
pub(crate) fn imagekit(asked: &Asked) -> String {
    let mut body = asked.json();
    if asked.method == "GET" && !asked.path.contains("/details") {
        return answer("200 OK", "[]");
    }
    let extensions = body["extensions"].as_array().cloned().unwrap_or_default();
    let status =
        |extension: &Value| Some((extension["name"].as_str()?.to_owned(), json!("success")));
    let statuses: serde_json::Map<String, Value> = extensions.iter().filter_map(status).collect();
    let mut file = json!({"fileId": asked.file(), "type": "file"});
    if let (Some(file), Some(fields)) = (file.as_object_mut(), body.as_object_mut()) {
        fields.remove("extensions");
        file.append(fields);
        if !statuses.is_empty() {
            file.insert("extensionStatus".to_owned(), statuses.into());
        }
    }
    answer("200 OK", &file.to_string())
}

/// A world with a sheet of so many rows that each run a billed extension.
fn tagging_world(rows: usize) -> World {
    let world = World::new(files(["unused"]));
    let extension = r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":3}]""#;
    let rows = ids(rows).into_iter().map(|id| format!("{id},{extension}"));
    world.write("sheet.csv", sheet("fileId,extensions", rows));
    world
}

#[test]
fn an_idle_connection_closed_under_a_billed_request_makes_no_row_unknown() {
    let server = Server::start(imagekit);
    let world = tagging_world(2);
    world.apply(&format!("sheet.csv --concurrency 1 --endpoint {}", server.url())).exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), 2);
    let billed = server.asked().into_iter().filter(|asked| asked.method == "PATCH");
    let mut billed: Vec<String> = billed.map(|asked| asked.file().to_owned()).collect();
    billed.sort_unstable();
    assert_eq!(billed, ids(2), "each once");
}
