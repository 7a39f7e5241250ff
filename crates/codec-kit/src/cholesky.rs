//! Linear equations with a symmetric positive definite matrix.

/// A symmetric positive definite matrix `[size, size]`, factored: `L L^T`.
#[derive(Clone, Debug)]
pub struct Cholesky {
    size: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors a matrix, of which the lower half is read; `None` when it is not positive definite.
    pub fn new(size: usize, mut matrix: Vec<f64>) -> Option<Self> {
        for row in 0..size {
            for column in 0..=row {
                let (above, below) = (&matrix[column * size..], &matrix[row * size..]);
                let sum: f64 = above[..column].iter().zip(below).map(|(a, b)| a * b).sum();
                let rest = matrix[row * size + column] - sum;
                if row == column && (rest.is_nan() || rest <= 0.0) {
                    return None;
                }
                matrix[row * size + column] =
                    if row == column { rest.sqrt() } else { rest / matrix[column * size + column] };
            }
        }
        Some(Cholesky { size, lower: matrix })
    }

    /// `x^T A^-1 x`.
    pub fn inverse_form(&self, x: &[f64]) -> f64 {
        // |L^-1 x|^2
        let mut solved: Vec<f64> = Vec::with_capacity(self.size);
        for (row, x) in x.iter().enumerate() {
            let lower = &self.lower[row * self.size..][..=row];
            let sum: f64 = lower.iter().zip(&solved).map(|(l, y)| l * y).sum();
            solved.push((x - sum) / lower[row]);
        }
        solved.iter().map(|y| y * y).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let matrix = vec![4.0, 0.0, 2.0, 3.0];
        let form = Cholesky::new(2, matrix).unwrap().inverse_form(&[1.0, 2.0]);
        // The inverse of [[4, 2], [2, 3]] is [[3, -2], [-2, 4]] / 8.
        assert!((form - (3.0 - 8.0 + 16.0) / 8.0).abs() < 1e-12, "{form}");
        assert!(Cholesky::new(2, vec![1.0, 0.0, 2.0, 1.0]).is_none());
        assert!(Cholesky::new(1, vec![f64::NAN]).is_none());
    }
}
