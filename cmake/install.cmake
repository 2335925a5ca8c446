# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, and the Debian package.

install(TARGETS fastvlm RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/fastvlm/fastvlm.h include/fastvlm/fastvlm.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fastvlm)
install(TARGETS fastvlm_shared EXPORT fastvlmTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS fastvlm_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

# CMake: find_package(fastvlm), then fastvlm::fastvlm.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/fastvlm)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/fastvlmConfigVersion.cmake COMPATIBILITY SameMinorVersion)
file(WRITE ${CMAKE_BINARY_DIR}/fastvlmConfig.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/fastvlmTargets.cmake)\n")
install(EXPORT fastvlmTargets NAMESPACE fastvlm:: DESTINATION ${package_folder})
install(FILES ${CMAKE_BINARY_DIR}/fastvlmConfig.cmake ${CMAKE_BINARY_DIR}/fastvlmConfigVersion.cmake DESTINATION ${package_folder})

# pkg-config. What the archive needs stands in Libs.private, not in Requires.private: whoever links the shared library needs
# none of it.
set(private_libraries -ljpeg -lpng16 -lwebp -lwebpdemux -lz -lpcre2-8 -lutf8proc -lcrypto)
if(FASTVLM_WITH_LIBZIP)
  list(APPEND private_libraries -lzip)
endif()
if(FASTVLM_WITH_HEIF)
  list(APPEND private_libraries -lheif)
endif()
if(FASTVLM_WITH_EXEMPI)
  list(APPEND private_libraries -lexempi)
endif()
list(JOIN private_libraries " " PRIVATE_LIBRARIES)
file(RELATIVE_PATH PREFIX_FROM_PC ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(packaging/fastvlm.pc.in ${CMAKE_BINARY_DIR}/fastvlm.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/fastvlm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The demo model, where the program looks for it, its pictures, and programs to begin with.
install(DIRECTORY models/demo DESTINATION ${CMAKE_INSTALL_DATADIR}/fastvlm/models)
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fastvlm/examples)
install(FILES LICENSE NOTICE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

if(NOT FASTVLM_MINIMAL)
  # Both are printed by the program itself, so that neither can be stale.
  set(manual ${CMAKE_BINARY_DIR}/manual)
  file(MAKE_DIRECTORY ${manual})
  add_custom_command(
    OUTPUT ${manual}/fastvlm.1 ${manual}/fastvlm.bash ${manual}/_fastvlm ${manual}/fastvlm.fish
    COMMAND fastvlm dev man > ${manual}/fastvlm.1
    COMMAND fastvlm dev completions bash > ${manual}/fastvlm.bash
    COMMAND fastvlm dev completions zsh > ${manual}/_fastvlm
    COMMAND fastvlm dev completions fish > ${manual}/fastvlm.fish
    DEPENDS fastvlm)
  add_custom_target(fastvlm_manual ALL DEPENDS ${manual}/fastvlm.1)
  install(FILES ${manual}/fastvlm.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${manual}/fastvlm.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME fastvlm)
  install(FILES ${manual}/_fastvlm DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${manual}/fastvlm.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  configure_file(packaging/fastvlm.service.in ${CMAKE_BINARY_DIR}/fastvlm.service @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/fastvlm.service DESTINATION lib/systemd/system)
endif()

# cpack -G DEB
set(CPACK_PACKAGE_NAME fastvlm)
set(CPACK_PACKAGE_CONTACT "The fastvlm.cpp authors <fastvlm@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Describes pictures with FastVLM, on the CPU")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION graphics)
include(CPack)
