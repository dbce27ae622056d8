// The dense float64 linear algebra that metrics need, by the BLAS and LAPACK of the system. Matrices are symmetric or
// stored by columns, as LAPACK expects them.
#pragma once
#include <cstdint>
#include <vector>

namespace poise {

// Adds x x^T, x [n,k] by columns, to the upper triangle of c [n,n] (by columns: element (i, j), i <= j, is at j*n + i).
// That is X^T X for rows X [k,n].
void add_outer_products(int64_t n, int64_t k, const double* x, double* c);
// Copies the upper triangle over the lower one.
void mirror_upper(int64_t n, double* c);

// a [m,k] b [k,n] -> [m,n]; transpose_a: a is [k,m]. All by columns.
std::vector<double> matrix_product(bool transpose_a, const std::vector<double>& a, const std::vector<double>& b,
                                   int64_t m, int64_t n, int64_t k);

// Does a symmetric matrix [n,n] have an eigenvalue below -tolerance? Uses a Cholesky factorisation, which is many times
// faster than computing the eigenvalues.
bool has_negative_eigenvalue(std::vector<double> matrix, int64_t n, double tolerance);

// Eigenvalues of a symmetric matrix [n,n], ascending (LAPACK dsyevd). The matrix becomes its eigenvectors, one per
// column. Error(runtime) if the iteration does not converge.
std::vector<double> symmetric_eigenvalues(std::vector<double>& matrix, int64_t n);

// L [n, rank] by columns with L L^T equal, up to rounding, to a symmetric matrix [n,n] without negative eigenvalues (if
// there are any, that part is left out): a pivoted Cholesky factorisation (LAPACK dpstrf), rows in their original
// order.
struct Factor {
  std::vector<double> l;
  int64_t rank = 0;
};
Factor cholesky_factor(std::vector<double> matrix, int64_t n);

// Singular values of a matrix [m,n], descending (LAPACK dgesvd): min(m, n). Error(runtime) if they do not converge.
std::vector<double> singular_values(std::vector<double> matrix, int64_t m, int64_t n);

}  // namespace poise
