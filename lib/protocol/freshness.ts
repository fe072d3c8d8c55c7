import type { NumericDate } from './time.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

/**
 * Seconds for which an answer may be used without asking again, as its headers say (RFC 9111 §4.2, §5.2.2); 0 where they
 * forbid it or cannot be read, `undefined` where they say nothing.
 */
export function freshnessOf(headers: Headers, now: NumericDate): number | undefined {
  const control = text(headers['cache-control'])?.toLowerCase()
  const age = wholeSeconds(text(headers.age)) ?? 0
  if (control !== undefined) {
    if (/(?:^|[\s,])(?:no-store|no-cache)(?:[\s,=]|$)/.test(control)) return 0
    for (const name of ['s-maxage', 'max-age']) {
      const value = new RegExp(`(?:^|[\\s,])${name}=([^\\s,]*)`).exec(control)?.[1]
      if (value !== undefined) return Math.max(0, (wholeSeconds(value.replace(/^"(.*)"$/, '$1')) ?? 0) - age)
    }
  }
  const expires = text(headers.expires)
  if (expires === undefined) return undefined
  const end = seconds(expires)
  return end === undefined ? 0 : Math.max(0, end - (seconds(text(headers.date)) ?? now) - age)
}

function text(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}

function wholeSeconds(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : undefined
}

function seconds(date: string | undefined): NumericDate | undefined {
  const milliseconds = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(milliseconds) ? undefined : milliseconds / 1000
}
