import type { Quota, RegistrationQuotas } from './clients/registration-quotas.ts'
import { type Check, either, object, oneOf, optional, optionalObject, whole } from './protocol/options.ts'

/** So many registrations in a window of time. */
export interface QuotaOptions {
  /** Registrations (default as the quota says; 1 to 1,000,000,000). */
  limit?: number | undefined
  /** Seconds (default 3,600; 1 to 2,678,400 = 31 days). */
  windowSeconds?: number | undefined
}

/** How many clients may register; `false`: any number. */
export interface RegistrationQuotaOptions {
  /** From one address, or with access tokens of one user and client (default 100 in an hour). Initial access tokens have their uses. */
  perSource?: false | QuotaOptions | undefined
  /**
   * With redirect URIs of one host (default 1,000 in an hour), of which one source may use a tenth. `loopback` and private-use
   * schemes belong to nobody, so there it is just that tenth for each source.
   */
  perRedirectHost?: false | QuotaOptions | undefined
  /** By one policy, whoever asks (default 10,000 in an hour). */
  global?: false | QuotaOptions | undefined
}

const isFalse = (value: unknown) => value === false

function quota(limit: number): Check<Quota | false> {
  const numbers = object({
    limit: optional(whole('registrations', 1, 1_000_000_000), limit),
    windowSeconds: optional(whole('seconds', 1, 31 * 86_400), 3600),
  })
  return optional(either(isFalse, oneOf(false), numbers), { limit, windowSeconds: 3600 })
}

const quotas = optionalObject({
  perSource: quota(100),
  perRedirectHost: quota(1000),
  global: quota(10_000),
})

const none: Check<RegistrationQuotas> = () => ({ perSource: false, perRedirectHost: false, global: false })

/** The `registration.quotas` option. */
export const quotasOption: Check<RegistrationQuotas> = either(isFalse, none, quotas)
