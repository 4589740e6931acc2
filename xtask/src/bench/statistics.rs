//! Of many samples, the one that is told.

/// The sample below which this share of them lies, the nearest one; 0 of none.
pub(crate) fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// The middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The smallest.
pub(crate) fn best(samples: &[f64]) -> f64 {
    percentile(samples, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_sample_is_taken() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((best(&samples), median(&samples)), (1.0, 50.0));
        assert_eq!((percentile(&samples, 0.99), percentile(&samples, 1.0)), (99.0, 100.0));
        assert_eq!((median(&[3.0]), median(&[])), (3.0, 0.0));
    }
}
