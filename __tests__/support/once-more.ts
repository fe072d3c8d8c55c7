import { jest } from '@jest/globals'

// These tests talk to real servers under real time limits, half a second at the default: a machine that stands still for as
// long fails one for nothing. What fails twice is a failure, and what failed once is told.
jest.retryTimes(1, { logErrorsBeforeRetry: true })
