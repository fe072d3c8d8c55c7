/**
 * Tests run as native ES modules. The sources are imported directly (`../lib/index.ts`), swc only
 * strips the types. `express-aat` resolves to the sources too, so that the example app can be
 * imported into a test.
 */

/** @type {import('jest').Config} */
const common = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  globals: { EXPRESS_MAJOR: 5, STORES: 'memory' },
  injectGlobals: false,
  extensionsToTreatAsEsm: ['.ts'],
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  modulePathIgnorePatterns: [
    '<rootDir>/dist/',
    '<rootDir>/.tmp/',
    '<rootDir>/coverage/',
    '<rootDir>/bench/node_modules/',
    '<rootDir>/example-app/node_modules/',
  ],
  moduleNameMapper: {
    '^express-aat$': '<rootDir>/lib/index.ts',
    '^express-aat/redis$': '<rootDir>/lib/redis.ts',
    '^express-aat/idp$': '<rootDir>/lib/idp.ts',
    '^express-aat/server$': '<rootDir>/lib/server.ts',
  },
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          parser: { syntax: 'typescript' },
          target: 'es2023',
          transform: { verbatimModuleSyntax: true },
        },
        sourceMaps: 'inline',
      },
    ],
  },
}

/** @type {import('jest').Config} */
export default {
  maxWorkers: 2,
  // Read here only: jest ignores it inside of projects. A limit on hanging, not on speed.
  testTimeout: 60_000,
  projects: [
    {
      ...common,
      displayName: 'express5',
      testMatch: ['<rootDir>/__tests__/**/*.test.ts'],
      testPathIgnorePatterns: [
        '<rootDir>/__tests__/browser/',
        '<rootDir>/__tests__/faults/',
        '<rootDir>/__tests__/package/',
        '<rootDir>/__tests__/redis/',
        '<rootDir>/__tests__/example/(redis|cluster).test.ts',
      ],
      globalSetup: '<rootDir>/scripts/ensure-redis.js',
    },
    {
      // Redis in trouble, with the time limits of production.
      ...common,
      displayName: 'trouble',
      testMatch: [
        '<rootDir>/__tests__/redis/**/*.test.ts',
        '<rootDir>/__tests__/example/{redis,cluster}.test.ts',
      ],
      setupFilesAfterEnv: ['<rootDir>/__tests__/support/once-more.ts'],
      globalSetup: '<rootDir>/scripts/ensure-redis.js',
    },
    {
      ...common,
      displayName: 'express4',
      globals: { EXPRESS_MAJOR: 4, STORES: 'memory' },
      testMatch: ['<rootDir>/__tests__/mount/**/*.test.ts'],
      moduleNameMapper: {
        ...common.moduleNameMapper,
        '^express$': '<rootDir>/node_modules/express4/index.js',
        '^express/package.json$': '<rootDir>/node_modules/express4/package.json',
      },
    },
    {
      // What the memory stores did in the first project, once more over a real Redis.
      ...common,
      displayName: 'redis',
      globals: { EXPRESS_MAJOR: 5, STORES: 'redis' },
      testMatch: [
        '<rootDir>/__tests__/{refresh-tokens,authorization-code,client-authentication,attack,revocation-log,idp-sessions,opaque-tokens,deny-list,client-metadata-documents}/**/*.test.ts',
        '<rootDir>/__tests__/{rfc6749,rfc7009,rfc7591,rfc7592,rfc7636,rfc7662,rfc8705,rfc8707,rfc9068,rfc9449,interop,key-ring}/**/*.test.ts',
        '<rootDir>/__tests__/rfc6749-authorization/{consent,sign-in}.test.ts',
      ],
      globalSetup: '<rootDir>/scripts/ensure-redis.js',
    },
    {
      ...common,
      displayName: 'package',
      testMatch: ['<rootDir>/__tests__/package/**/*.test.ts'],
    },
    {
      ...common,
      displayName: 'faults',
      setupFilesAfterEnv: ['<rootDir>/__tests__/support/once-more.ts'],
      testMatch: ['<rootDir>/__tests__/faults/**/*.test.ts'],
      globalSetup: '<rootDir>/scripts/ensure-redis.js',
    },
    {
      ...common,
      displayName: 'browser',
      testMatch: ['<rootDir>/__tests__/browser/**/*.test.ts'],
      globalSetup: '<rootDir>/scripts/ensure-chromium.js',
    },
  ],
}
