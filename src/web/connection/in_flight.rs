//! A request in flight: it goes along with its answer, then with that one's body, and ends when that does.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::Response;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::site::Handling;
use super::state::ConnectionState;
use super::stream;

/// A request that is being answered: when this is dropped, its answer has been sent, or will not be.
#[derive(Debug)]
pub(super) struct InFlight(Arc<ConnectionState>);

impl InFlight {
    pub(super) fn new(state: Arc<ConnectionState>) -> Self {
        Self(state)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

/// An answer that is being made. Small: the library keeps room for one as long as the connection lasts.
pub(super) struct Answering<B> {
    answer: Handling<B>,
    request: Option<InFlight>,
}

impl<B> Answering<B> {
    pub(super) fn new(answer: Handling<B>, request: InFlight) -> Self {
        Self { answer, request: Some(request) }
    }
}

impl<B> Future for Answering<B> {
    type Output = Result<Response<AnswerBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = std::task::ready!(self.answer.as_mut().poll(cx));
        let request = self.request.take();
        Poll::Ready(Ok(response.map(|body| AnswerBody::new(body, request))))
    }
}

/// An answer's body, which takes the end of its request along.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    body: B,
    _request: Option<InFlight>,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: B, request: Option<InFlight>) -> Self {
        Self { body, _request: request }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let gave = |frame: &Frame<Bytes>| frame.data_ref().map(|piece| (piece.as_ptr().addr(), piece.len()));
        stream::asked(match &polled {
            Poll::Ready(Some(Ok(frame))) => gave(frame).or(Some((0, 0))),
            Poll::Ready(_) => Some((0, 0)),
            Poll::Pending => None,
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
