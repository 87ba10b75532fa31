//! The connection, with a place to break it: a reset instead of an answer, or a cut in the body.
//!
//! hyper writes answers into a [`Wire`]; what [`Line`] was told decides how much of it gets out.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// After an error like "too many open files", a pause in which some may be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The listening socket.
#[derive(Debug)]
pub(crate) struct Door(pub(crate) TcpListener);

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            let accepted = self.0.accept().await;
            let wired = accepted.and_then(|(stream, from)| Ok((Wire::new(stream)?, from)));
            match wired {
                Ok(wired) => return wired,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// What is to become of the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// They all go out.
    Whole,
    /// None goes out; the client sees a reset.
    Reset,
    /// The head of the next answer goes out, and this much of its body.
    CutBody(usize),
    /// This many more go out; then the end.
    CutAfter(usize),
}

/// The handler's end of a connection, by which it decides its fate.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Mutex<Fate>>);

impl Line {
    /// Lets no byte of the answer out and resets the connection.
    pub(crate) fn reset(&self) {
        self.set(Fate::Reset);
    }

    /// Lets the head of the answer out and `bytes` of its body, then ends the connection.
    pub(crate) fn cut_body_after(&self, bytes: usize) {
        self.set(Fate::CutBody(bytes));
    }

    fn set(&self, fate: Fate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fate;
    }

    fn fate(&self) -> Fate {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().line.clone()
    }
}

/// A TCP connection that does what its [`Line`] says.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    line: Line,
    /// The client has sent its last byte.
    has_ended: bool,
}

impl Wire {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, line: Line(Arc::new(Mutex::new(Fate::Whole))), has_ended: false })
    }

    /// Writes at most `left` bytes of `buf`; with none left, hyper gets an error and hangs up.
    fn write_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        left: usize,
    ) -> Poll<io::Result<usize>> {
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written =
            ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..left.min(buf.len())]))?;
        self.line.set(Fate::CutAfter(left - written));
        Poll::Ready(Ok(written))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.line.fate() {
            Fate::Whole => Pin::new(&mut self.stream).poll_write(cx, buf),
            Fate::Reset => {
                // Closing without lingering sends RST instead of FIN.
                let reset = self.stream.set_zero_linger();
                Poll::Ready(reset.and_then(|()| Err(io::ErrorKind::ConnectionReset.into())))
            }
            Fate::CutBody(bytes) => {
                // hyper writes a head in one piece. If it ever did not, the cut would be in the head.
                let head = memchr::memmem::find(buf, b"\r\n\r\n").map_or(buf.len(), |end| end + 4);
                self.write_some(cx, buf, head + bytes)
            }
            Fate::CutAfter(left) => self.write_some(cx, buf, left),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before;
        if is_end && !std::mem::replace(&mut self.has_ended, true) {
            // hyper drops the handler as soon as it sees the end, even one that it has not called
            // yet. A turn later the handler has taken over what was sent before the end.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}
