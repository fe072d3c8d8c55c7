import { expect, test } from '@jest/globals'
import { freshnessOf } from '../../lib/protocol/freshness.ts'

const NOW = 1_800_000_000
const date = (seconds: number) => new Date((NOW + seconds) * 1000).toUTCString()

test.each([
  [{}, undefined],
  [{ 'cache-control': 'public' }, undefined],
  [{ 'cache-control': 'max-age=300' }, 300],
  [{ 'cache-control': 'Public, Max-Age=300' }, 300],
  [{ 'cache-control': 'max-age="300"' }, 300],
  [{ 'cache-control': 'max-age=300', age: '100' }, 200],
  [{ 'cache-control': 'max-age=300', age: '1000' }, 0],
  [{ 'cache-control': 'max-age=300', expires: date(9000) }, 300],
  [{ 'cache-control': 'max-age=300, s-maxage=60' }, 60],
  [{ 'cache-control': 'max-age=300, no-store' }, 0],
  [{ 'cache-control': 'no-cache' }, 0],
  [{ 'cache-control': 'no-cache="x", max-age=300' }, 0],
  [{ 'cache-control': 'max-age=-1' }, 0],
  [{ 'cache-control': 'max-age=1e9' }, 0],
  [{ 'cache-control': 'max-age=' }, 0],
  [{ 'cache-control': 'x-max-age=300' }, undefined],
  [{ expires: date(120) }, 120],
  [{ expires: date(120), date: date(60) }, 60],
  [{ expires: date(120), age: '20' }, 100],
  [{ expires: date(-1) }, 0],
  [{ expires: '0' }, 0],
  [{ expires: 'soon' }, 0],
])('%j: %s', (headers, seconds) => {
  expect(freshnessOf(headers, NOW)).toBe(seconds)
})
