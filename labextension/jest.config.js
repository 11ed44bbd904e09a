// JupyterLab's packages are ES modules, so jest has to translate them too.
const esModules = [
  '@codemirror',
  '@jupyter',
  '@jupyterlab',
  '@lezer',
  '@microsoft',
  '@rjsf',
  'exenv-es6',
  'fzstd',
  'hyparquet',
  'hyparquet-compressors',
  'hysnappy',
  'lib0',
  'marked',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

module.exports = {
  testEnvironment: 'jsdom',
  setupFiles: ['<rootDir>/src/testing/setup.js'],
  testMatch: ['<rootDir>/src/**/*.spec.{ts,tsx}'],
  transform: {
    '^.+\\.(ts|tsx|js|mjs)$': [
      'ts-jest',
      {
        diagnostics: false,
        tsconfig: {
          allowJs: true,
          esModuleInterop: true,
          jsx: 'react',
          isolatedModules: true,
          module: 'commonjs',
          target: 'es2022'
        }
      }
    ]
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esModules})/)`],
  moduleNameMapper: {
    '\\.(css|less)$': '<rootDir>/src/testing/empty.js',
    '\\.svg$': '<rootDir>/src/testing/empty.js'
  },
  testTimeout: 20000
};
