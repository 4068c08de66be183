// Preloaded into a measured program: prints its processor time and peak memory to standard error at its end.
process.once('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const cpuMs = Math.round((userCPUTime + systemCPUTime) / 1000);
  process.stderr.write(
    `peak-usage ${JSON.stringify({ cpuMs, peakMib: Math.round(maxRSS / 1024) })}\n`,
  );
});
