# SPDX-License-Identifier: Apache-2.0
# A room is one folder of src/ built as one static library, fastvlm_<room>; its tests are one program, <room>_test.

set(FASTVLM_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND FASTVLM_WARNINGS -Wno-restrict)  # false alarms on std::string::insert and operator+ (GCC bug 105651)
endif()

# Code without arithmetic is compiled at -O1 in release builds: at -O3 it takes twice as long and runs no faster. The preset `fast`
# is at -O1 but for what its tests do not wait for.
set(FASTVLM_QUICK_COMPILE $<$<CONFIG:Release>:-O1>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND FASTVLM_QUICK_COMPILE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)  # the same false alarms
endif()
set(FASTVLM_FAST_COMPILE $<$<CONFIG:Fast>:-O0>)

# Large headers of packages are compiled once, unless all files of the target are compiled together anyway; FASTVLM_PCH=OFF shows
# that every file includes what it uses.
function(fastvlm_precompile target)
  get_target_property(together ${target} UNITY_BUILD)
  if(FASTVLM_PCH AND NOT (together AND FASTVLM_TOGETHER EQUAL 0))
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# fastvlm_compile_together(<target>): several files at a time, in a third of the time: what their headers bring is compiled
# once. To come after the target's warnings: a local name may be that of another file. FASTVLM_PCH=OFF compiles each by itself.
function(fastvlm_compile_together target)
  if(FASTVLM_PCH)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${FASTVLM_TOGETHER})
    target_compile_options(${target} PRIVATE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>)
  endif()
endfunction()

# fastvlm_room(<room> [TOGETHER] [ONLY <files>...] [LINK <targets>...]): src/<room>/*.cc as a library, or some of them; LINK
# names the rooms and packages it may use. TOGETHER as above.
function(fastvlm_room room)
  cmake_parse_arguments(ARG "TOGETHER" "" "ONLY;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(ARG_ONLY)
    set(sources ${ARG_ONLY})
  endif()
  if(NOT sources)
    add_library(fastvlm_${room} INTERFACE)
    return()
  endif()
  add_library(fastvlm_${room} STATIC ${sources})
  target_include_directories(fastvlm_${room} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(fastvlm_${room} PRIVATE ${FASTVLM_WARNINGS})
  if(ARG_TOGETHER)
    fastvlm_compile_together(fastvlm_${room})
  endif()
  target_link_libraries(fastvlm_${room} PUBLIC ${ARG_LINK})
endfunction()

# fastvlm_read(<variable> <file>): the text of a file of the repository, as it is when the build is configured; a change to
# the file configures it anew.
function(fastvlm_read variable file)
  set(path ${PROJECT_SOURCE_DIR}/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(READ ${path} text ${ARGN})
  set(${variable} "${text}" PARENT_SCOPE)
endfunction()

# fastvlm_leave_out(<room> <file>): one of two files of a room that stand for each other is not compiled.
function(fastvlm_leave_out room file)
  get_target_property(sources fastvlm_${room} SOURCES)
  list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set_target_properties(fastvlm_${room} PROPERTIES SOURCES "${sources}")
endfunction()

# fastvlm_optional(<option> <room> <package> <file> <stub>): with the option the room has <file> and links the package, as
# pkg-config knows it; without it <stub> stands for it.
function(fastvlm_optional option room package file stub)
  if(${option})
    pkg_check_modules(${option} REQUIRED IMPORTED_TARGET ${package})
    target_link_libraries(fastvlm_${room} PRIVATE PkgConfig::${option})
    fastvlm_leave_out(${room} ${stub})
  else()
    fastvlm_leave_out(${room} ${file})
  endif()
endfunction()

# Tests are compiled without optimisation: in two thirds of the time, with sanitizers in less than half; the rooms they call
# are optimised.
set(FASTVLM_TEST_COMPILE ${FASTVLM_QUICK_COMPILE} -O0)

# fastvlm_room_test(<room> [SEPARATE] [OPTIMISED] [LINK <targets>...]): tests/<room>/*_test.cc as one GoogleTest program that
# knows where the repository lies. Files are compiled together; SEPARATE: each by itself, since they use the same names for
# different things; OPTIMISED: they compute much themselves.
function(fastvlm_room_test room)
  cmake_parse_arguments(ARG "SEPARATE;OPTIMISED" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(${room}_test ${sources})
  target_include_directories(${room}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${room}_test PRIVATE ${FASTVLM_WARNINGS})
  if(ARG_OPTIMISED)
    target_compile_options(${room}_test PRIVATE ${FASTVLM_QUICK_COMPILE})
    fastvlm_precompile(${room}_test <gmock/gmock.h> <gtest/gtest.h>)
  else()
    target_compile_options(${room}_test PRIVATE ${FASTVLM_TEST_COMPILE})
    if(FASTVLM_PCH)
      target_precompile_headers(${room}_test REUSE_FROM fastvlm_test_headers)
    endif()
  endif()
  if(NOT ARG_SEPARATE)
    fastvlm_compile_together(${room}_test)
  endif()
  target_compile_definitions(${room}_test PRIVATE FASTVLM_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                                  FASTVLM_BINARY_DIR="${CMAKE_BINARY_DIR}")
  target_link_libraries(${room}_test PRIVATE $<TARGET_NAME_IF_EXISTS:fastvlm_${room}> ${ARG_LINK} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${room}_test DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS ${room})
endfunction()
