import type { CheckedOptions, ProductionDanger } from './aat-options.ts'

/** Reports what production is refused for, unless it is allowed by name. */
export function checkProduction(options: CheckedOptions, report: (problem: string) => void): void {
  if (process.env.NODE_ENV !== 'production') return
  const dangers: [ProductionDanger, boolean, string][] = [
    [
      'memory-stores',
      options.stores === undefined || options.stores.kind === 'memory',
      'stores are in memory: tokens and keys are lost at each restart and not shared between instances',
    ],
    [
      'generated-secret',
      !options.secrets.some((secret) => secret !== undefined),
      'secrets is empty: refresh tokens and keys would not survive a restart; set a random secret of at least 32 characters',
    ],
    [
      'http-issuer',
      options.issuer.startsWith('http:'),
      'issuer is http: tokens would cross the network in the clear; use https',
    ],
  ]
  for (const [danger, present, what] of dangers) {
    if (present && !options.allowInProduction.includes(danger))
      report(`${what} (or allow it by name: allowInProduction: ['${danger}'])`)
  }
}
