// The dense float64 linear algebra that metrics need, from whatever BLAS and LAPACK the system has. Matrices are
// symmetric or stored by columns, as LAPACK expects them.
#pragma once
#include <cstdint>
#include <vector>

namespace poise {

// Upper triangle (of columns: element (i, j), i <= j, at j*n + i) of c [n,n] += x x^T, x [n,k] by columns; that is
// X^T X of rows X [k,n].
void add_outer_products(int64_t n, int64_t k, const double* x, double* c);
// Copies the upper triangle over the lower one.
void mirror_upper(int64_t n, double* c);

// a [m,k] b [k,n] -> [m,n]; transpose_a: a is [k,m]. All by columns.
std::vector<double> matrix_product(bool transpose_a, const std::vector<double>& a, const std::vector<double>& b,
                                   int64_t m, int64_t n, int64_t k);

// Has a symmetric matrix [n,n] an eigenvalue below -tolerance? By a Cholesky factorisation, where eigenvalues themselves
// would take many times longer.
bool has_negative_eigenvalue(std::vector<double> matrix, int64_t n, double tolerance);

// Eigenvalues of a symmetric matrix [n,n], ascending (LAPACK dsyevd). The matrix becomes its eigenvectors, one per
// column. Error(runtime) if the iteration does not converge.
std::vector<double> symmetric_eigenvalues(std::vector<double>& matrix, int64_t n);

// L [n, rank] by columns with L L^T equal to a symmetric matrix [n,n] without negative eigenvalues, to rounding: a pivoted
// Cholesky factorisation (LAPACK dpstrf), whose rows are where they were. What the matrix has of negative eigenvalues is
// left out.
struct Factor {
  std::vector<double> l;
  int64_t rank = 0;
};
Factor cholesky_factor(std::vector<double> matrix, int64_t n);

// Of a matrix [m,n], descending (LAPACK dgesvd): min(m, n) numbers. Error(runtime) if the iteration does not converge.
std::vector<double> singular_values(std::vector<double> matrix, int64_t m, int64_t n);

}  // namespace poise
