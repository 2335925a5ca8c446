// SPDX-License-Identifier: Apache-2.0
// Nothing but a place to compile the headers that all tests share (tests/CMakeLists.txt).
