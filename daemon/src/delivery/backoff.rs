//! How long to wait before the next attempt: full jitter, 1 s to 5 min (D5). Pure; chance is a parameter.

use std::time::Duration;

/// A source of chance that a seed decides (SplitMix64: Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The chance of one destination: destinations of one daemon do not keep step.
    pub fn of(seed: u64, name: &str) -> Chance {
        // FNV-1a: any spread of names will do.
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Chance(name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, mix))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// How long to wait after `failures` failures in a row, the first being 1: anything from a second up to twice as long
/// as after the failure before, five minutes at most.
pub fn delay(failures: u32, chance: &mut Chance) -> Duration {
    let doubled = DELAY_MIN.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    let window = doubled.min(DELAY_MAX) - DELAY_MIN;
    let millis = u64::try_from(window.as_millis()).expect("five minutes fit");
    DELAY_MIN + Duration::from_millis(chance.draw() % (millis + 1))
}

/// The shortest wait before another attempt.
pub const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest wait that we choose.
pub const DELAY_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest wait that a receiver may choose for us (`Retry-After`).
pub const AFTER_MAX: Duration = Duration::from_secs(3600);
/// How often what is blocked is tried again.
pub const BLOCKED_EVERY: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_spreads_over_its_whole_window_and_never_leaves_it() {
        let mut chance = Chance::of(7, "collector");
        for (failures, longest_s) in [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (4_000_000, 300)]
        {
            let longest = Duration::from_secs(longest_s);
            let waits: Vec<Duration> = (0..500).map(|_| delay(failures, &mut chance)).collect();
            let near = (longest - DELAY_MIN) / 5;
            assert!(waits.iter().all(|w| (DELAY_MIN..=longest).contains(w)), "{failures}");
            assert!(waits.iter().any(|w| *w < DELAY_MIN + near), "{failures}: none is short");
            assert!(waits.iter().any(|w| *w > longest - near), "{failures}: none is long");
        }
    }

    #[test]
    fn one_seed_gives_one_course_and_each_name_its_own() {
        let draws = |seed, name| {
            let mut chance = Chance::of(seed, name);
            [chance.draw(), chance.draw(), chance.draw()]
        };
        assert_eq!(draws(1, "a"), draws(1, "a"));
        assert_ne!(draws(1, "a"), draws(1, "b"));
        assert_ne!(draws(1, "a"), draws(2, "a"));
    }
}
