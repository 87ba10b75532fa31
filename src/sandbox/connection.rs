//! The connection, with places to break it: as it is accepted, or at a chosen byte of an response.
//!
//! hyper writes answers into a [`Connection`]; what [`ConnectionControl`] was told decides how much of it gets out.

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

use super::state::Sandbox;

/// After an error like "too many open files", a pause in which some may be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The listening socket.
#[derive(Debug)]
pub(crate) struct SandboxListener {
    pub(crate) listener: TcpListener,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl Listener for SandboxListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let accepted = self.listener.accept().await;
            let wired = accepted.and_then(|(stream, from)| Ok((Connection::new(stream)?, from)));
            match wired {
                Ok((mut wire, _)) if self.sandbox.breaks_at_accept() => drop(wire.reset()),
                Ok(wired) => return wired,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What is to become of the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteLimit {
    /// They all go out.
    Whole,
    /// The head of the next response goes out, and this much of its body; then the end.
    Body(usize, CloseMode),
    /// This many more go out; then the end.
    Bytes(usize, CloseMode),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// In good order (FIN).
    Graceful,
    /// With a reset (RST).
    Reset,
}

/// The handler's end of a connection, by which it decides its fate.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionControl(Arc<Mutex<WriteLimit>>);

impl ConnectionControl {
    /// Lets `bytes` of the response out, head and all, and then ends the connection.
    pub(crate) fn end_after(&self, bytes: usize, end: CloseMode) {
        self.set(WriteLimit::Bytes(bytes, end));
    }

    /// Lets the head of the response out and `bytes` of its body, and then ends the connection.
    pub(crate) fn end_in_body(&self, bytes: usize, end: CloseMode) {
        self.set(WriteLimit::Body(bytes, end));
    }

    fn set(&self, fate: WriteLimit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fate;
    }

    fn fate(&self) -> WriteLimit {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, SandboxListener>> for ConnectionControl {
    fn connect_info(stream: IncomingStream<'_, SandboxListener>) -> Self {
        stream.io().line.clone()
    }
}

/// A TCP connection that does what its [`ConnectionControl`] says.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    line: ConnectionControl,
    /// The client has sent its last byte.
    has_ended: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            line: ConnectionControl(Arc::new(Mutex::new(WriteLimit::Whole))),
            has_ended: false,
        })
    }

    /// Makes closing send RST instead of FIN, because it does not linger.
    fn reset(&mut self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Writes at most `left` bytes of `buf`; with none left, hyper gets an error and hangs up.
    fn write_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        left: usize,
        end: CloseMode,
    ) -> Poll<io::Result<usize>> {
        if left == 0 {
            let ended = if end == CloseMode::Reset { self.reset() } else { Ok(()) };
            return Poll::Ready(ended.and(Err(io::ErrorKind::BrokenPipe.into())));
        }
        let written =
            ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..left.min(buf.len())]))?;
        self.line.set(WriteLimit::Bytes(left - written, end));
        Poll::Ready(Ok(written))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.line.fate() {
            WriteLimit::Whole => Pin::new(&mut self.stream).poll_write(cx, buf),
            WriteLimit::Body(bytes, end) => {
                // hyper writes a head in one piece. If it ever did not, the cut would be in the head.
                let head = memchr::memmem::find(buf, b"\r\n\r\n").map_or(buf.len(), |end| end + 4);
                self.write_some(cx, buf, head + bytes, end)
            }
            WriteLimit::Bytes(left, end) => self.write_some(cx, buf, left, end),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Connection {
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
