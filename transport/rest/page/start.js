// Shows the document that this server serves. The validator badge of Swagger UI
// would call its makers' server.
SwaggerUIBundle({
  url: "docs/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  validatorUrl: null,
});
