//! What a monitor waits for.

use super::attach::Interest;
use super::keeper::Keeper;
use super::life::{AtRest, Life, QUIET};
use alloc::vec;
use alloc::vec::Vec;
use kickstage_config::{Context, Result, Role};
use kickstage_sys::poll::{Wait, poll};

/// What poll has found.
#[expect(clippy::struct_excessive_bools, reason = "one for each descriptor")]
pub(super) struct Events {
    pub(super) signals: bool,
    pub(super) process: bool,
    pub(super) outputs: Vec<bool>,
    pub(super) room: bool,
    pub(super) channel: bool,
    pub(super) visitors: bool,
    pub(super) requests: bool,
    /// Each visitor: whether it speaks, whether it is gone.
    pub(super) clients: Vec<(bool, bool)>,
    pub(super) open_requests: Vec<bool>,
}

impl<K: Keeper> Life<K> {
    /// Waits for whatever comes first; `None`: nothing has come in time.
    pub(super) fn wait(&self, at_rest: AtRest) -> Result<Option<Events>> {
        let or_nothing = |fd: Option<_>| fd.map_or(Wait::nothing(), Wait::readable);
        let mut table = vec![
            Wait::readable(self.signals.borrow()),
            Wait::readable(self.process.borrow()),
            self.attach.waiting_for_room().map_or(Wait::nothing(), Wait::writable),
            or_nothing(self.keeper.channel()),
            Wait::readable(self.attach.listener()),
            Wait::readable(self.requests.listener()),
        ];
        let fixed = table.len();
        table.extend(self.outputs.iter().map(|output| or_nothing(output.source())));
        let clients = table.len();
        table.extend(self.attach.clients().map(|(client, interest)| match interest {
            Interest::Input => Wait::readable(client),
            Interest::End => Wait::hung_up(client),
        }));
        let requests = table.len();
        table.extend(self.requests.open().map(Wait::readable));
        let waited = if self.busy { poll(&mut table, QUIET) } else { at_rest(&mut table) };
        if !waited.during(Role::Master, "wait for the container")? {
            return Ok(None);
        }
        let all = |part: &[Wait<'_>]| part.iter().map(Wait::happened).collect();
        let client = |wait: &Wait<'_>| (wait.has_input(), wait.has_hung_up());
        Ok(Some(Events {
            signals: table[0].happened(),
            process: table[1].happened(),
            room: table[2].happened(),
            channel: table[3].happened(),
            visitors: table[4].happened(),
            requests: table[5].happened(),
            outputs: all(&table[fixed..clients]),
            clients: table[clients..requests].iter().map(client).collect(),
            open_requests: all(&table[requests..]),
        }))
    }
}
