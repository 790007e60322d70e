<?php
// What there is no file for, the front controller answers, if there is one. Files whose name begins
// with a dot are nobody's.
$root = $_SERVER['DOCUMENT_ROOT'];
$path = rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '/');
if (preg_match('#/\.(?!well-known(/|$))#', $path) || str_contains($path, "\0")) {
    http_response_code(404);
    return true;
}
if (is_file($root . $path) || !is_file($root . '/index.php') || is_dir($root . $path) && glob($root . $path . '/index.{php,html}', GLOB_BRACE)) {
    return false;
}
$_SERVER['SCRIPT_FILENAME'] = $root . '/index.php';
$_SERVER['SCRIPT_NAME'] = '/index.php';
$_SERVER['PHP_SELF'] = '/index.php';
chdir($root);
require $root . '/index.php';
