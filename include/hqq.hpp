/*
 * hqq.hpp - messages between processes on one machine, for C++17 and later
 *
 * A thin layer over hqq.h, all of it in headers: objects that own
 * what they hold, callables in place of function pointers, and errors as exceptions or as
 * std::error_code. It works without exceptions and without run-time type information, too. See
 * hqq.hpp(3).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_HPP
#define HQQ_HPP

#include <hqq/advanced.hpp>
#include <hqq/common.hpp>
#include <hqq/error.hpp>
#include <hqq/message.hpp>
#include <hqq/standard.hpp>

#include <hqq.h>

#endif /* HQQ_HPP */
