//! An HTTP server over real sockets that keeps what it is sent and answers as a test wants.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;
use serde_json::Value;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status, further head lines, body.
    Say(u16, String, String),
    /// Breaks the connection.
    Break,
    /// Never answers.
    Hang,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Say(status, String::new(), String::new())
    }
}

type Answers = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A running server; it stops when dropped.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    answers: Answers,
    requests: Arc<Mutex<Vec<Request>>>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl HttpServer {
    pub(crate) fn start(answers: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            answers: Arc::new(answers),
            requests: Arc::default(),
            running: None,
        };
        server.launch();
        server
    }

    /// Starts it again at the same address, after [`Self::stop`].
    pub(crate) fn launch(&mut self) {
        let listener = qw_testkit::wait_for("the address is free", crate::LIMIT, || {
            TcpListener::bind(self.address).ok()
        });
        self.address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let (answers, requests) = (Arc::clone(&self.answers), Arc::clone(&self.requests));
        let flag = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(hanging) = serve(stream, &answers, &requests) {
                    kept.push(hanging);
                }
            }
        });
        self.running = Some((stopped, thread));
    }

    pub(crate) fn stop(&mut self) {
        if let Some((stopped, thread)) = self.running.take() {
            stopped.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(self.address));
            thread.join().unwrap();
        }
    }

    /// Requests, in order, whatever was answered.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }

    /// Number in the history of each request's change.
    pub(crate) fn sequences(&self) -> Vec<u64> {
        let requests = self.requests();
        let sequence = |request: &Request| request.json()["change"]["sequence"].as_u64().unwrap();
        requests.iter().map(sequence).collect()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One request per connection; the connection when it is to hang.
fn serve(
    stream: TcpStream,
    answers: &Answers,
    requests: &Mutex<Vec<Request>>,
) -> Option<TcpStream> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = Request {
        method,
        path,
        headers,
        body,
    };
    let answer = answers(&request);
    let mut stream = reader.into_inner();
    match answer {
        Answer::Break => None,
        Answer::Hang => {
            requests.lock().push(request);
            Some(stream)
        }
        Answer::Say(status, head, body) => {
            requests.lock().push(request);
            let text = format!(
                "HTTP/1.1 {status} Status\r\n{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).ok()?;
            None
        }
    }
}
