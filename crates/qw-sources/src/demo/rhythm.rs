//! When more happens and when less.

use qw_event::Timestamp;

use super::{DAY_SECONDS, fleet, random::Random, roles::RoleName};

/// A minute or two in which one container does more than usual.
#[derive(Clone, Copy)]
pub(super) struct Burst {
    pub(super) container: usize,
    pub(super) factor: f64,
}

impl Burst {
    /// The burst that goes on in `second`, if there is one: in one of eight stretches of five
    /// minutes.
    pub(super) fn at(seed: u64, second: i64) -> Option<Self> {
        const STRETCH: i64 = 300;
        let mut random = Random::of(&[seed, 0x6275_7273_7400, second.div_euclid(STRETCH) as u64]);
        if random.below(8) != 0 {
            return None;
        }
        let begins = random.below(180) as i64;
        let lasts = 30 + random.below(90) as i64;
        let container = random.below(fleet().len());
        let factor = 2.0 + 2.0 * random.fraction();
        let place = second.rem_euclid(STRETCH) - begins;
        (0..lasts)
            .contains(&place)
            .then_some(Self { container, factor })
    }
}

/// How much more than on average happens at `second` since 1970: 1.6 at 15:00, 0.4 at 03:00.
pub(super) fn time_of_day_factor(second: i64) -> f64 {
    let of_day = second.rem_euclid(DAY_SECONDS);
    let turn = (of_day - 9 * 3600) as f64 / DAY_SECONDS as f64;
    1.0 + 0.6 * (turn * std::f64::consts::TAU).sin()
}

/// True when containers of `role` have little to do at this time of the day.
pub(super) fn is_idle(role: RoleName, time: Timestamp) -> bool {
    let hour = time.as_seconds().rem_euclid(DAY_SECONDS) / 3600;
    match role {
        RoleName::Backup => hour != 2,
        RoleName::Jenkins => !(6..19).contains(&hour),
        _ => false,
    }
}
