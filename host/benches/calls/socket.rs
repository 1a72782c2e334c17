//! Clients of the control socket: one that keeps its connection, and the command line's.

use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A client that keeps its connection and does nothing that it need not.
pub(crate) struct Kept {
    stream: UnixStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Kept {
    pub(crate) async fn new(socket: &Path, body: &str) -> std::io::Result<Self> {
        let head = format!(
            "POST /v1/call HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok(Self {
            stream: UnixStream::connect(socket).await?,
            request: [head.as_bytes(), body.as_bytes()].concat(),
            answer: vec![0; 4096],
        })
    }

    /// Answers are small: one read gives a whole one.
    pub(crate) async fn call(&mut self) {
        self.stream.write_all(&self.request).await.expect("writes");
        let read = self.stream.read(&mut self.answer).await.expect("reads");
        assert!(
            self.answer[..read].starts_with(b"HTTP/1.1 200"),
            "{:?}",
            &self.answer[..read]
        );
    }
}
