//! Stages whose behaviour a test writes down.

use std::cell::RefCell;
use std::time::Duration;

use meshgate_policy::drive::Drive;
use meshgate_policy::exchange::{Body, BodyMode, Next, Reply, Rest};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, HttpCall, Map, Side};
use meshgate_policy::policy::Phases;
use meshgate_test_host::{Event, Planned, Scripted, World, http_answer};

use crate::{Chain, Name, Stages};

/// What a stage does with the messages of one side.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Answers while the head passes, with this status.
    pub reply: Option<u16>,
    /// Waits for a callout in the head.
    pub waits: bool,
    /// Waits for a callout when it sees the body first.
    pub waits_in_body: bool,
    pub reads: Reads,
    /// What each byte of the body is changed by.
    pub key: u8,
    /// What is written behind a body.
    pub suffix: &'static str,
    /// Writes a field of this name, in the head and in trailers.
    pub field: Option<&'static str>,
}

/// How a stage reads a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// Not at all.
    #[default]
    Nothing,
    /// All at once.
    Whole { limit: usize, hold_head: bool },
    /// As it comes, once this much is there.
    From(usize),
}

/// A stage with these plans, for requests and for responses.
pub fn stage(plans: [Plan; 2]) -> Scripted {
    let mut waited = [false; 2];
    let mut waiting: Option<(Side, Option<Body>)> = None;
    Scripted::new(move |host, event| {
        let index = |side: Side| usize::from(side == Side::Response);
        match event {
            Event::Head { side, .. } => {
                let plan = &plans[index(*side)];
                if plan.waits {
                    call(host)?;
                    waiting = Some((*side, None));
                    return Ok(Next::Wait);
                }
                head(host, plan, *side)
            }
            Event::Body(side, body) => {
                let plan = &plans[index(*side)];
                if plan.waits_in_body
                    && body.rest != Rest::OverLimit
                    && !std::mem::replace(&mut waited[index(*side)], true)
                {
                    call(host)?;
                    waiting = Some((*side, Some(*body)));
                    return Ok(Next::Wait);
                }
                edit(host, plan, *side, *body)
            }
            Event::Trailers(side) => {
                if let Some(name) = plans[index(*side)].field {
                    host.set_header(
                        Map::trailers(*side),
                        &HeaderName::new(name).unwrap(),
                        &HeaderValue::number(2),
                    )?;
                }
                Ok(Next::Continue)
            }
            Event::Callout(..) => match waiting.take() {
                Some((side, None)) => head(host, &plans[index(side)], side),
                Some((side, Some(body))) if body.rest == Rest::End => {
                    edit(host, &plans[index(side)], side, body)
                }
                // It is shown once more, with what follows.
                Some(_) => Ok(Next::Hold),
                None => Ok(Next::Continue),
            },
            Event::Log => Ok(Next::Continue),
        }
    })
}

fn call(host: &mut dyn Host) -> Result<(), HostError> {
    let headers = Headers::from_pairs([(":method", "GET"), (":path", "/"), (":authority", "a")]);
    let deadline = Duration::from_secs(1);
    host.http_call(&HttpCall { cluster: "other", headers: &headers, body: b"", deadline, max_answer: 10 })?;
    Ok(())
}

fn head(host: &mut dyn Host, plan: &Plan, side: Side) -> Result<Next, HostError> {
    if let Some(status) = plan.reply {
        let mut reply = Reply::new(status, "scripted");
        reply.body = b"no".to_vec();
        return Ok(Next::Reply(Box::new(reply)));
    }
    if let Some(name) = plan.field {
        let number = host.headers(Map::head(side))?.all(name).count();
        let name = HeaderName::new(name).unwrap();
        host.add_header(Map::head(side), &name, &HeaderValue::number(number as u64))?;
    }
    host.remove_header(Map::head(side), &HeaderName::constant("content-length"))?;
    Ok(match plan.reads {
        Reads::Nothing => Next::Continue,
        Reads::Whole { limit, hold_head } => Next::ReadBody(BodyMode::Whole { limit, hold_head }),
        Reads::From(_) => Next::ReadBody(BodyMode::Window { limit: 1 << 20 }),
    })
}

fn edit(host: &mut dyn Host, plan: &Plan, side: Side, body: Body) -> Result<Next, HostError> {
    if let Reads::From(least) = plan.reads
        && body.rest == Rest::More
        && body.size < least
    {
        return Ok(Next::Hold);
    }
    if body.size > 0 {
        let mut bytes = host.body(side, 0, usize::MAX)?;
        bytes.iter_mut().for_each(|byte| *byte ^= plan.key);
        if body.rest == Rest::End {
            bytes.extend(plan.suffix.as_bytes());
        }
        host.set_body(side, &bytes)?;
    }
    Ok(Next::Continue)
}

/// A world in which the callouts of such stages are answered after a while.
pub fn world() -> World {
    let world = World::new();
    world.allow_on_headers_stop_iteration(true);
    world.on_http("other", |_| Planned::After(Duration::from_millis(20), http_answer(200, &[], "")));
    world
}

/// Scripted stages as those of a chain.
pub struct Scripts(RefCell<Vec<Option<Scripted>>>);

/// A chain of them.
pub fn chain(stages: Vec<Scripted>) -> Chain<Scripts> {
    let number = stages.len();
    let scripts = Scripts(RefCell::new(stages.into_iter().map(Some).collect()));
    let name = |index: usize| Name { name: index.to_string().into(), is_own: false };
    Chain::new(scripts, false, (0..number).map(name).collect())
}

impl Stages for Scripts {
    type Exchange = Scripted;

    fn number(&self) -> usize {
        self.0.borrow().len()
    }

    fn begin(&self, index: usize, _: &mut dyn Host) -> Result<Option<Drive<Scripted>>, HostError> {
        Ok(self.0.borrow_mut()[index].take().map(|stage| Drive::new(stage, Phases::ALL)))
    }
}
