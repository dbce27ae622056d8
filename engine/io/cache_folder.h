// The folder for files that Poise can create again.
#pragma once
#include <filesystem>

namespace poise {

// $POISE_CACHE, else $XDG_CACHE_HOME/poise, else ~/.cache/poise; empty without any of the three.
std::filesystem::path cache_folder();

}  // namespace poise
