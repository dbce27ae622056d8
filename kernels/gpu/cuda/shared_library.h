// Libraries that are opened when they are first needed: cuBLAS alone has half a million addresses to be filled in, so a
// program that trains on the CPU would wait for it, and could not start without it.
#pragma once
#include <string>

namespace poise::cuda {

class SharedLibrary {
 public:
  // Error(environment) if there is none: "USE needs NAME, which was not found: install PACKAGE, ...".
  SharedLibrary(const char* use, std::string name, std::string package);

  // A function of the library, as a pointer of any type. Error(environment) if it has none of this name.
  struct Function {
    void* address;
    template <class F>
    operator F*() const {  // NOLINT(google-explicit-constructor): the member it fills says the type
      return reinterpret_cast<F*>(address);
    }
  };
  Function operator[](const char* function) const;

 private:
  std::string name_, package_;
  void* handle_;  // never closed: what it made may outlive everything of ours
};

// The functions of a library: a struct of a SharedLibrary and of pointers that it fills, made at the first call.
template <class Functions>
const Functions& opened() {
  static const Functions functions;
  return functions;
}

}  // namespace poise::cuda
