"""An emulator of the Code Ocean REST API, to try the provider without an account.

    python -m airflow_provider_codeocean.emulator --port 8800 --env-file codeocean.env

It is written from the API's documentation and shares no code with `airflow_provider_codeocean.api`, so that
one wrong model cannot agree with itself; its oracle is the official SDK. Tests start it in a thread with
`server.EmulatorServer`. What can be configured stands in `config.EmulatorConfig`, what can go wrong in
`faults`.

Beside the API under `/api/v1/` and pages for people it has endpoints of its own, which need no credentials
and take and give JSON:

| endpoint under `/_emulator/` | |
| --- | --- |
| `GET stats`, `POST stats/reset` | counters of requests, statuses and connections |
| `GET faults`, `POST faults`, `DELETE faults` | list faults, add a rule (`faults.FaultRule`), remove all |
| `DELETE faults/{id}` | remove one; what it holds is closed |
| `POST faults/{id}/release` | let the requests go on that it holds |
| `GET faults/{id}/wait?hits=&held=&timeout=` | answer once it was hit and holds so often; else 408 |
| `PUT search_lag` `{seconds}` | search lags behind writes |
| `PUT rate_limit` `{requests_per_second, burst, retry_after}` | 429 above it; 0 is no limit |
| `PUT transitions` `{assets, computations, transfers, releases}` | how long new work takes |
| `POST advance` `{seconds}` | move a manual clock |
| `POST computations` (`bulk.ComputationSeed`) | add many, over at once or later |
| `POST data_assets` (`bulk.DataAssetSeed`) | add many, ready at once or later |
"""
