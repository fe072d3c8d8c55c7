import { hasControlCharacter } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'

/** Characters of a name that people read. */
export const MAX_NAME = 200

/** A refusal of registration (RFC 7591 §3.2.2). */
export function refusal(description: string): OAuthError {
  return new OAuthError('invalid_client_metadata', description)
}

/** Those members that have a value. */
export function present<T extends object>(members: { [K in keyof T]: T[K] | undefined }): T {
  const those = {} as T
  for (const name in members) {
    const value = members[name]
    if (value !== undefined) those[name] = value
  }
  return those
}

export function readContacts(value: unknown): string[] | undefined {
  if (value === undefined) return undefined
  if (
    !isTextList(value, 10) ||
    value.some((contact) => contact.length > MAX_NAME || hasControlCharacter(contact))
  ) {
    throw refusal('contacts must be an array of at most 10 short strings')
  }
  return value
}

/** A name that people read: no control, bidirectional-override or zero-width characters, and not blank. */
export function optionalText(value: unknown, wireName: string, max: number): string | undefined {
  if (value === undefined) return undefined
  if (
    typeof value !== 'string' ||
    !/[^\p{Default_Ignorable_Code_Point}\p{C}\p{Z}\u2800]/u.test(value) ||
    (value.length > max && [...value].length > max) ||
    hasControlCharacter(value)
  ) {
    throw refusal(`${wireName} must be a string of 1 to ${max} characters without control characters`)
  }
  if (/[\p{Cf}\u2028\u2029]/u.test(value))
    throw refusal(`${wireName} must not have invisible or direction-changing characters`)
  return value
}

/** A page of the client's that people may be sent to: https only. */
export function optionalPage(value: unknown, wireName: string): string | undefined {
  if (value === undefined) return undefined
  if (
    typeof value !== 'string' ||
    value.length > 2048 ||
    !/^https:\/\/[\x21-\x7e]+$/.test(value) ||
    /["'<>\\^`{|}]/.test(value) ||
    !URL.canParse(value)
  ) {
    throw refusal(`${wireName} must be an https URL of at most 2048 characters`)
  }
  return value
}

export function isTextList(value: unknown, max: number): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= max &&
    value.every((entry) => typeof entry === 'string' && entry.length <= 4096)
  )
}
