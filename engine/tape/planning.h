// What a computation will need, found by running it without computing.
#pragma once
#include <functional>

#include "kernels/core/context.h"

namespace poise {

// Bytes of the smallest arena in which f(ctx) succeeds. f runs once, on `ctx` with kernels that do nothing, an arena
// without memory and no profile; it must read no value (ctx.planning says so). Throws what f throws.
size_t arena_bytes_of(const Context& ctx, const std::function<void(Context&)>& f);

}  // namespace poise
