//! Chance that comes out even: cards dealt from a shuffled deck instead of dice, and distributions as tables.

use ringfence_oracle::random::Random;

/// How many cards a deck has.
pub(super) const CARDS: usize = 1000;

/// The numbers below [`CARDS`] in random order, each once before any comes again.
#[derive(Debug, Default)]
pub(super) struct Deck {
    left: Vec<usize>,
}

impl Deck {
    /// The next card.
    pub(super) fn deal(&mut self, random: &mut Random) -> usize {
        if self.left.is_empty() {
            self.left = (0..CARDS).collect();
            random.shuffle(&mut self.left);
        }
        self.left.pop().unwrap_or(0)
    }

    /// A number of this distribution.
    pub(super) fn number(&mut self, quantiles: Quantiles, random: &mut Random) -> usize {
        quantile(quantiles, self.deal(random), CARDS)
    }
}

/// A distribution: so many of a thousand are below this; between the points it is a straight line.
pub(super) type Quantiles = &'static [(usize, usize)];

/// The number that stands at a place in a sorted list of so many numbers of this distribution.
pub(super) fn quantile(quantiles: Quantiles, place: usize, count: usize) -> usize {
    let at = place as f64 * 1000.0 / count.saturating_sub(1).max(1) as f64;
    let segment = quantiles.windows(2).find(|pair| pair.last().is_some_and(|(end, _)| at <= *end as f64));
    let Some([(start, low), (end, high)]) = segment else {
        return quantiles.last().map_or(0, |(_, highest)| *highest);
    };
    let part = (at - *start as f64) / (*end - *start).max(1) as f64;
    (*low as f64 + part * (*high as f64 - *low as f64)).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deck_deals_every_card_before_any_comes_again() {
        let (mut deck, mut random) = (Deck::default(), Random::new(1));
        let mut dealt: Vec<usize> = (0..CARDS).map(|_| deck.deal(&mut random)).collect();
        assert_ne!(dealt, (0..CARDS).collect::<Vec<_>>());
        dealt.sort_unstable();
        assert_eq!(dealt, (0..CARDS).collect::<Vec<_>>());
    }

    #[test]
    fn a_table_is_read_along_its_lines() {
        const TABLE: Quantiles = &[(0, 1), (500, 3), (1000, 9)];
        let numbers: Vec<usize> = (0..5).map(|place| quantile(TABLE, place, 5)).collect();
        assert_eq!(numbers, [1, 2, 3, 6, 9]);
        assert_eq!(quantile(TABLE, 0, 1), 1);
    }
}
