# Builds llama.cpp's own tools against the very libraries that the installed llama-cpp-python package carries, so that
# both sides of a comparison run the same kernels. Used by llama_build.py, which copies it beside the build tree.
#   LLAMA_SOURCE     vendor/llama.cpp of the package's source
#   LLAMA_LIBRARIES  the installed package's lib folder

cmake_minimum_required(VERSION 3.18)
project(llama_tools C CXX)

set(PROJECT_SOURCE_DIR ${LLAMA_SOURCE})
set(BUILD_SHARED_LIBS OFF)
set(LLAMA_BUILD_COMMON ON)
set(LLAMA_SUBPROCESS ON)
set(LLAMA_BUILD_UI OFF)
set(LLAMA_USE_PREBUILT_UI OFF)
set(LLAMA_BUILD_NUMBER 0)
include(${LLAMA_SOURCE}/cmake/license.cmake)
include(${LLAMA_SOURCE}/cmake/build-info.cmake)

function(llama_add_compile_flags)
endfunction()

foreach(name ggml-base ggml-cpu ggml llama mtmd)
    add_library(${name} SHARED IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES
        IMPORTED_LOCATION "${LLAMA_LIBRARIES}/${CMAKE_SHARED_LIBRARY_PREFIX}${name}${CMAKE_SHARED_LIBRARY_SUFFIX}")
    target_include_directories(${name} INTERFACE
        ${LLAMA_SOURCE}/include ${LLAMA_SOURCE}/ggml/include ${LLAMA_SOURCE}/tools/mtmd)
endforeach()
target_link_libraries(ggml INTERFACE ggml-base ggml-cpu)
target_link_libraries(llama INTERFACE ggml ggml-base ggml-cpu)
target_link_libraries(mtmd INTERFACE llama)

foreach(part vendor common tools/batched-bench tools/ui tools/server)
    add_subdirectory(${LLAMA_SOURCE}/${part} ${part})
endforeach()
