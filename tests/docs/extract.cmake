cmake_minimum_required(VERSION 3.25)

# Writes the code blocks of a document into one source file, each in a namespace of its own.
#   cmake -D DOCUMENT=docs/cookbook.md -D KIND=cpp -D OUTPUT=cookbook.cpp -P extract.cmake
# KIND is what follows the fence's backticks: "cpp", or "cpp torch" for blocks that need more. Includes in a block go
# before all of them.
file(READ ${DOCUMENT} text)
set(fence "```")
set(includes "")
set(code "")
set(number 0)
while(TRUE)
  string(FIND "${text}" "\n${fence}${KIND}\n" begin)
  if(begin EQUAL -1)
    break()
  endif()
  string(LENGTH "\n${fence}${KIND}\n" length)
  math(EXPR begin "${begin} + ${length}")
  string(SUBSTRING "${text}" ${begin} -1 text)
  string(FIND "${text}" "\n${fence}\n" end)
  string(SUBSTRING "${text}" 0 ${end} block)
  string(SUBSTRING "${text}" ${end} -1 text)
  while(block MATCHES "^[ \n]*(#include [^\n]*)\n")
    string(APPEND includes "${CMAKE_MATCH_1}\n")
    string(LENGTH "${CMAKE_MATCH_0}" length)
    string(SUBSTRING "${block}" ${length} -1 block)
  endwhile()
  math(EXPR number "${number} + 1")
  string(APPEND code "namespace block_${number} {\n${block}\n}  // namespace block_${number}\n\n")
endwhile()
if(number EQUAL 0)
  message(FATAL_ERROR "${DOCUMENT} has no block of ${KIND}")
endif()
get_filename_component(name ${DOCUMENT} NAME)
file(WRITE ${OUTPUT} "// The code of ${name}: ${number} blocks of ${KIND}.
#include <muster/muster.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

${includes}
${code}")
message(STATUS "${number} blocks of ${KIND} in ${name}")
