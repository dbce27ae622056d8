#include "engine/metrics/linear_algebra.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "kernels/core/error.h"

// The Fortran interface; the lengths of the character arguments come last.
extern "C" {
void dsyrk_(const char* uplo, const char* trans, const int* n, const int* k, const double* alpha, const double* a,
            const int* lda, const double* beta, double* c, const int* ldc, size_t, size_t);
void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k, const double* alpha,
            const double* a, const int* lda, const double* b, const int* ldb, const double* beta, double* c,
            const int* ldc, size_t, size_t);
void dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info, size_t, size_t);
void dgesvd_(const char* jobu, const char* jobvt, const int* m, const int* n, double* a, const int* lda, double* s,
             double* u, const int* ldu, double* vt, const int* ldvt, double* work, const int* lwork, int* info, size_t,
             size_t);
void dpstrf_(const char* uplo, const int* n, double* a, const int* lda, int* piv, int* rank, const double* tol,
             double* work, int* info, size_t);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info, size_t);
}

namespace poise {

void add_outer_products(int64_t n, int64_t k, const double* x, double* c) {
  const int rows = static_cast<int>(n), columns = static_cast<int>(k);
  const double one = 1;
  dsyrk_("U", "N", &rows, &columns, &one, x, &rows, &one, c, &rows, 1, 1);
}

void mirror_upper(int64_t n, double* c) {
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t row = 0; row < column; ++row) c[row * n + column] = c[column * n + row];
  }
}

std::vector<double> matrix_product(bool transpose_a, const std::vector<double>& a, const std::vector<double>& b,
                                   int64_t m, int64_t n, int64_t k) {
  require(static_cast<int64_t>(a.size()) == m * k && static_cast<int64_t>(b.size()) == k * n, "sizes of a product");
  std::vector<double> c(static_cast<size_t>(m * n));
  if (c.empty() || k == 0) return c;
  const int mi = static_cast<int>(m), ni = static_cast<int>(n), ki = static_cast<int>(k);
  const double one = 1, zero = 0;
  dgemm_(transpose_a ? "T" : "N", "N", &mi, &ni, &ki, &one, a.data(), transpose_a ? &ki : &mi, b.data(), &ki, &zero,
         c.data(), &mi, 1, 1);
  return c;
}

bool has_negative_eigenvalue(std::vector<double> matrix, int64_t n, double tolerance) {
  require(static_cast<int64_t>(matrix.size()) == n * n, "a square matrix");
  for (int64_t i = 0; i < n; ++i) matrix[static_cast<size_t>(i * n + i)] += tolerance;
  const int size = static_cast<int>(n);
  int info = 0;
  dpotrf_("U", &size, matrix.data(), &size, &info, 1);
  return info > 0;
}

namespace {

void check_converged(int info, const char* routine, int64_t m, int64_t n) {
  if (info == 0) return;
  fail(ErrorKind::runtime, "Fréchet distance: LAPACK " + std::string(routine) + " of a matrix " + std::to_string(m) +
                               "x" + std::to_string(n) + " did not converge (info " + std::to_string(info) +
                               "); the features are degenerate: look at the images");
}

}  // namespace

std::vector<double> symmetric_eigenvalues(std::vector<double>& matrix, int64_t n) {
  require(static_cast<int64_t>(matrix.size()) == n * n, "a square matrix");
  std::vector<double> values(static_cast<size_t>(n));
  if (n == 0) return values;
  const int size = static_cast<int>(n), ask = -1;
  double work_size = 0;
  int iwork_size = 0, info = 0;
  dsyevd_("V", "U", &size, matrix.data(), &size, values.data(), &work_size, &ask, &iwork_size, &ask, &info, 1, 1);
  std::vector<double> work(static_cast<size_t>(work_size));
  std::vector<int> iwork(static_cast<size_t>(iwork_size));
  const int work_count = static_cast<int>(work.size());
  dsyevd_("V", "U", &size, matrix.data(), &size, values.data(), work.data(), &work_count, iwork.data(), &iwork_size,
          &info, 1, 1);
  check_converged(info, "dsyevd", n, n);
  return values;
}

Factor cholesky_factor(std::vector<double> matrix, int64_t n) {
  require(static_cast<int64_t>(matrix.size()) == n * n, "a square matrix");
  Factor factor;
  if (n == 0) return factor;
  const int size = static_cast<int>(n);
  int rank = 0, info = 0;
  const double rounding = -1;  // means n * eps * the largest element of the diagonal
  std::vector<int> pivots(static_cast<size_t>(n));
  std::vector<double> work(static_cast<size_t>(2 * n));
  dpstrf_("L", &size, matrix.data(), &size, pivots.data(), &rank, &rounding, work.data(), &info, 1);
  factor.rank = rank;
  factor.l.resize(static_cast<size_t>(n * rank));
  for (int64_t column = 0; column < rank; ++column) {
    for (int64_t i = column; i < n; ++i) {
      const int64_t row = pivots[static_cast<size_t>(i)] - 1;
      factor.l[static_cast<size_t>(column * n + row)] = matrix[static_cast<size_t>(column * n + i)];
    }
  }
  return factor;
}

std::vector<double> singular_values(std::vector<double> matrix, int64_t m, int64_t n) {
  require(static_cast<int64_t>(matrix.size()) == m * n, "sizes of a matrix");
  std::vector<double> values(static_cast<size_t>(std::min(m, n)));
  if (values.empty()) return values;
  const int rows = static_cast<int>(m), columns = static_cast<int>(n), one = 1, ask = -1;
  double work_size = 0;
  int info = 0;
  const auto run = [&](double* work, const int* size) {
    dgesvd_("N", "N", &rows, &columns, matrix.data(), &rows, values.data(), nullptr, &one, nullptr, &one, work, size,
            &info, 1, 1);
  };
  run(&work_size, &ask);
  std::vector<double> work(static_cast<size_t>(work_size));
  const int work_count = static_cast<int>(work.size());
  run(work.data(), &work_count);
  check_converged(info, "dgesvd", m, n);
  return values;
}

}  // namespace poise
