// What every page that Poise writes has in common: one file, inline SVG, light and dark, no scripts, no network.
#pragma once
#include <string>

namespace poise {

std::string html_page(const std::string& title, const std::string& body);
std::string html_figure(const std::string& picture, size_t number, const std::string& caption);

}  // namespace poise
