//! Medians, spread, and the ratio of two targets with a bootstrap confidence interval.

use serde::{Deserialize, Serialize};

use crate::data::Dice;

const RESAMPLES: usize = 4000;
/// Two-sided 95 %.
const TAIL: f64 = 0.025;
/// Below this difference nobody would notice, however sure it is.
const NOTICEABLE: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) runs: usize,
    pub(crate) median: f64,
    pub(crate) q1: f64,
    pub(crate) q3: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Better,
    Worse,
    WithinNoise,
}

/// How many times better than the reference; above 1 is better, whatever the unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) times_better: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) verdict: Verdict,
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values), 0.5)
}

pub(crate) fn summary(values: &[f64]) -> Option<Summary> {
    let sorted = sorted(values);
    Some(Summary {
        runs: sorted.len(),
        median: quantile(&sorted, 0.5),
        q1: quantile(&sorted, 0.25),
        q3: quantile(&sorted, 0.75),
        min: *sorted.first()?,
        max: *sorted.last()?,
    })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Linear between the neighbouring values; NaN for nothing.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = q * last as f64;
    let below = sorted[at.floor() as usize];
    let above = sorted[at.ceil() as usize];
    below + (above - below) * at.fract()
}

/// Ratio of medians. With `paired`, run i of both was measured in the same pass, so what disturbed
/// the machine disturbed both, and passes are drawn together.
pub(crate) fn ratio(
    subject: &[f64],
    reference: &[f64],
    less_is_better: bool,
    paired: bool,
) -> Option<Ratio> {
    let of = |s: f64, r: f64| if less_is_better { r / s } else { s / r };
    let value = of(median(subject), median(reference));
    if !value.is_finite() || value <= 0.0 {
        return None;
    }
    let paired = paired && subject.len() == reference.len();
    let mut dice = Dice::new(subject.len() as u64 ^ 0x5eed);
    let (mut s, mut r) = (vec![0.0; subject.len()], vec![0.0; reference.len()]);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for (i, slot) in s.iter_mut().enumerate() {
                let pick = dice.below(subject.len() as u64) as usize;
                *slot = subject[pick];
                if paired {
                    r[i] = reference[pick];
                }
            }
            if !paired {
                for slot in &mut r {
                    *slot = reference[dice.below(reference.len() as u64) as usize];
                }
            }
            of(median(&s), median(&r))
        })
        .filter(|v| v.is_finite())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&ratios, TAIL), quantile(&ratios, 1.0 - TAIL));
    // Three runs or fewer cannot tell a difference from chance.
    let few = subject.len().min(reference.len()) < 4;
    let verdict = if few || (low <= 1.0 && high >= 1.0) || (value - 1.0).abs() < NOTICEABLE {
        Verdict::WithinNoise
    } else if value > 1.0 {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    Some(Ratio {
        times_better: value,
        low,
        high,
        verdict,
    })
}

pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values
        .filter(|v| v.is_finite() && *v > 0.0)
        .fold((0.0, 0u32), |(sum, n), v| (sum + v.ln(), n + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

/// The distribution of single operations, as points of its cumulative curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    /// (share of operations, microseconds)
    pub(crate) points: Vec<(f64, f64)>,
}

const SHARES: [f64; 26] = [
    0.001, 0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75,
    0.8, 0.85, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999, 0.9999,
];

pub(crate) fn distribution(nanos: &mut [u64]) -> Option<Distribution> {
    nanos.sort_unstable();
    let last = nanos.len().checked_sub(1)?;
    let points = SHARES
        .iter()
        .map(|&share| {
            (
                share,
                nanos[(share * last as f64).round() as usize] as f64 / 1000.0,
            )
        })
        .collect();
    Some(Distribution {
        count: nanos.len() as u64,
        points,
    })
}

/// One share of a set of operations, in microseconds.
pub(crate) fn share_us(nanos: &mut [u64], share: f64) -> f64 {
    nanos.sort_unstable();
    let Some(last) = nanos.len().checked_sub(1) else {
        return f64::NAN;
    };
    nanos[(share * last as f64).round() as usize] as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        let s = summary(&[4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!(
            (s.median, s.q1, s.q3, s.min, s.max, s.runs),
            (3.0, 2.0, 4.0, 1.0, 5.0, 5)
        );
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert!(summary(&[]).is_none());
        assert!(median(&[]).is_nan());
    }

    fn noisy(centre: f64, seed: u64) -> Vec<f64> {
        let mut dice = Dice::new(seed);
        (0..7)
            .map(|_| centre * (0.98 + dice.below(400) as f64 / 10_000.0))
            .collect()
    }

    #[test]
    fn the_same_thing_twice_is_within_noise() {
        let wrong = (0..200)
            .filter(|&i| {
                let ratio = ratio(&noisy(1.0, i), &noisy(1.0, i + 1000), true, true).unwrap();
                ratio.verdict != Verdict::WithinNoise
            })
            .count();
        assert!(wrong < 30, "{wrong} of 200");
    }

    #[test]
    fn twenty_percent_is_found_in_both_directions() {
        let mut covered = 0;
        for seed in 0..50 {
            let (slowed, usual) = (noisy(1.2, seed), noisy(1.0, seed + 99));
            let slow = ratio(&slowed, &usual, true, true).unwrap();
            assert_eq!(slow.verdict, Verdict::Worse);
            covered += usize::from(slow.low <= 1.0 / 1.2 && slow.high >= 1.0 / 1.2);
            let fast = ratio(&slowed, &usual, false, false).unwrap();
            assert_eq!(fast.verdict, Verdict::Better);
        }
        // An interval of 95 % may miss; with seven runs it is somewhat too narrow.
        assert!(covered >= 40, "the truth was in {covered} of 50 intervals");
    }

    #[test]
    fn few_runs_and_zeros_claim_nothing() {
        let ratio_of_few = ratio(&[1.0, 1.0], &[2.0, 2.0], true, true).unwrap();
        assert_eq!(ratio_of_few.verdict, Verdict::WithinNoise);
        assert_eq!(ratio(&[0.0], &[0.0], true, true), None);
        assert_eq!(ratio(&[], &[1.0], true, true), None);
    }

    #[test]
    fn geometric_means_ignore_what_is_no_ratio() {
        assert_eq!(
            geometric_mean([2.0, 8.0, 0.0, f64::NAN].into_iter()),
            Some(4.0)
        );
        assert_eq!(geometric_mean(std::iter::empty()), None);
    }

    #[test]
    fn a_distribution_grows() {
        let mut nanos: Vec<u64> = (0..10_000).rev().map(|n| n * 1000).collect();
        let d = distribution(&mut nanos).unwrap();
        assert!(d.points.windows(2).all(|w| w[0].1 <= w[1].1));
        assert_eq!(share_us(&mut nanos, 0.99), 9899.0);
        assert!(distribution(&mut []).is_none());
    }
}
