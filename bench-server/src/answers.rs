//! One request in, one answer out: the service that hyper calls.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    service::Service,
};

use crate::{
    HELLO,
    alarm::Alarm,
    body::Answer,
    clock::Moment,
    faults,
    route::Route,
    schedule::{Due, Schedule, Wait},
    stats::Meter,
};

const OVERLOADED: &str = "more than 10 s of requests are waiting\n";

/// Answers the requests of one connection.
pub(crate) struct Answers {
    pub(crate) meter: Arc<Meter>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) schedule: Arc<Schedule>,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<Answer>;
    type Error = hyper::Error;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        let route = Route::parse(request.uri().path());
        // Counted here and not when answered, so that an answer in a client's hands is counted.
        let answer = match route {
            Route::Stats => stats(self.meter.stats_request()),
            _ => {
                self.meter.request();
                match route {
                    Route::Echo => return Reply::now(echo(request.into_body())),
                    Route::Wait(wait) => return self.wait(wait, request.into_body()),
                    _ => respond(route),
                }
            }
        };
        Reply::after(request.into_body(), answer)
    }
}

impl Answers {
    /// Answers after the request body has been read and the answer is due, and records how long
    /// that took.
    fn wait(&self, wait: Wait, body: Incoming) -> Reply {
        let since = Moment::now();
        let (until, answer) = match self.schedule.due(wait, since) {
            Due::At(until) => (until, text(StatusCode::OK, HELLO)),
            Due::Overloaded => (since, text(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED)),
            Due::Bad(advice) => return Reply::after(body, text(StatusCode::BAD_REQUEST, advice)),
        };
        let (alarm, meter) = (self.alarm.clone(), self.meter.clone());
        Reply::later(async move {
            discard(body).await?;
            if until > since {
                alarm.wait_until(until).await;
            }
            meter.held(since.elapsed());
            Ok(answer)
        })
    }
}

/// Reads a request body that nobody wants.
///
/// hyper would close the connection if an answer left a longer request body unread.
async fn discard(mut body: Incoming) -> Result<(), hyper::Error> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame?;
    }
    Ok(())
}

fn respond(route: Route) -> Response<Answer> {
    match route {
        Route::Hello => text(StatusCode::OK, HELLO),
        Route::Close => {
            let mut answer = text(StatusCode::OK, HELLO);
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
        Route::Bytes(n) => typed(Answer::Sized { left: n }, "application/octet-stream"),
        Route::Chunked(n) => typed(Answer::chunked(n), "application/octet-stream"),
        Route::Status(code) => {
            let mut answer = Response::new(Answer::empty());
            *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
            answer
        }
        Route::Bad(advice) => text(StatusCode::BAD_REQUEST, advice),
        Route::Faulty(_) => text(StatusCode::BAD_REQUEST, faults::ELSEWHERE),
        Route::Unknown | Route::Echo | Route::Stats | Route::Wait(_) => {
            text(StatusCode::NOT_FOUND, "no such path\n")
        }
    }
}

fn echo(body: Incoming) -> Response<Answer> {
    typed(Answer::Echo(body), "application/octet-stream")
}

fn stats(json: String) -> Response<Answer> {
    typed(Answer::Whole(Bytes::from(json)), "application/json")
}

fn text(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut answer = typed(Answer::text(text), "text/plain");
    *answer.status_mut() = status;
    answer
}

fn typed(body: Answer, content_type: &'static str) -> Response<Answer> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

type Answered = Result<Response<Answer>, hyper::Error>;

/// An answer, most often there already: `/` must not cost a boxed future.
pub(crate) enum Reply {
    Now(Option<Response<Answer>>),
    Later(Pin<Box<dyn Future<Output = Answered> + Send>>),
}

impl Reply {
    fn now(answer: Response<Answer>) -> Self {
        Reply::Now(Some(answer))
    }

    /// Answers once the request body, which most requests do not have, has been read.
    fn after(body: Incoming, answer: Response<Answer>) -> Self {
        if body.is_end_stream() {
            return Reply::now(answer);
        }
        Reply::later(async {
            discard(body).await?;
            Ok(answer)
        })
    }

    fn later(answer: impl Future<Output = Answered> + Send + 'static) -> Self {
        Reply::Later(Box::pin(answer))
    }
}

impl Future for Reply {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Reply::Now(answer) => Poll::Ready(Ok(answer.take().expect("polled after completion"))),
            Reply::Later(future) => future.as_mut().poll(cx),
        }
    }
}
