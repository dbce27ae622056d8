// Libraries that are opened when they are first needed. If they were linked, a program that trains on the CPU could not
// start without them, and would wait for the relocations (half a million in cuBLAS alone).
#pragma once
#include <string>

namespace poise::cuda {

class SharedLibrary {
 public:
  // Throws Error(environment) if it is missing: "USE needs NAME, which was not found: install PACKAGE, ...".
  SharedLibrary(const char* use, std::string name, std::string package);

  // A function of the library, as a pointer of any type. Throws Error(environment) if there is none of this name.
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
  void* handle_;  // never closed: objects of the library may outlive all of ours
};

// The functions of a library: a struct of a SharedLibrary and of function pointers, filled at the first call.
template <class Functions>
const Functions& opened() {
  static const Functions functions;
  return functions;
}

}  // namespace poise::cuda
