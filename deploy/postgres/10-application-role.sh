#!/bin/bash
# Runs once, when the container makes its database: adds the application's role beside the owner's.
set -euo pipefail
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
     --set app="$POSTGRES_APP_USER" --set password="$POSTGRES_APP_PASSWORD" <<'SQL'
CREATE ROLE :"app" LOGIN PASSWORD :'password';
SQL
